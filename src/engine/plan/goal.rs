//! From what is asked for to the steps that a plan weighs.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};

use crate::engine::driver::Drivers;
use crate::engine::plan::Wanted;
use crate::engine::plan::order;
use crate::engine::plan::renewal;
use crate::engine::plan::way_back::WayBack;
use crate::engine::protocol::{BINARY_FOLDER, Goal};
use crate::engine::record::manifest::Manifest;
use crate::engine::record::specs;
use crate::engine::record::step::Step;
use crate::resource::{
    Advise, Declared, Directory, Host, Id, Link, Owner, Place, Resource, installed_version,
};
use crate::spec::{PartSpec, Scope};

/// What a plan for `goal` has to look at.
pub(in crate::engine) fn wanted(goal: &Goal, drivers: Drivers, host: &Host) -> Result<Wanted> {
    wanted_beside(&HashSet::new(), goal, drivers, host)
}

/// The same where what is at the paths `settled` is declared as well, and the host has it like that.
pub(in crate::engine) fn wanted_beside(
    settled: &HashSet<PathBuf>,
    goal: &Goal,
    drivers: Drivers,
    host: &Host,
) -> Result<Wanted> {
    let manifest = Manifest::load_beside(settled, host)?;
    let (mut passed_over, mut giving_way, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    let (mut left_out, mut lacking) = (Vec::new(), Vec::new());
    let mut back_to = None;
    let (declared, removals, because) = match goal {
        Goal::Declared { resources, parts, scope, hash_key } => {
            if let Some(key) = hash_key {
                host.use_hash_key(key.clone());
            }
            let is_meant = |declared: &&Declared| scope.means(declared);
            let (meant, others): (Vec<_>, Vec<_>) =
                resources.iter().cloned().partition(|d| is_meant(&d));
            passed_over = inputs_of(&meant, others.iter().map(|other| &other.resource));
            giving_way = manifest.giving_way(resources, scope);
            let because = Some("no longer in the inventory");
            let gives_way: HashSet<Id> = giving_way.iter().map(|step| step.resource.id()).collect();
            let mut removals = manifest.removals(resources, scope);
            removals.retain(|step| !gives_way.contains(&step.resource.id()));
            left_out = what_stays(&manifest, &meant, scope);
            lacking = unknown_parts(&manifest, parts, scope, host);
            let declared = with_way(meant, drivers, host)?.into_iter().map(Step::from).collect();
            (declared, removals, because)
        }
        Goal::NewCertificate { days, if_expires_within } => {
            let meant = renewal::wanted(&manifest, *days, *if_expires_within, host)?;
            passed_over = inputs_of(&meant, manifest.resources().map(|(_, resource)| resource));
            (meant.into_iter().map(Step::from).collect(), Vec::new(), None)
        }
        Goal::PreviousVersion { link } => {
            let meant = previous_version(&manifest, link, host)?;
            passed_over = inputs_of(&meant, manifest.resources().map(|(_, resource)| resource));
            (meant.into_iter().map(Step::from).collect(), Vec::new(), None)
        }
        Goal::Before { run } => {
            let back = WayBack::before(run.as_deref(), host)?;
            kept = back.kept;
            back_to = Some(back.run);
            (Vec::new(), back.steps, None)
        }
        Goal::VersionBefore { part } => {
            let back = WayBack::to_version_before(part, host)?;
            back_to = Some(back.run);
            (Vec::new(), back.steps, None)
        }
        Goal::Original { .. } => (Vec::new(), manifest.originals(), None),
    };
    Ok(Wanted {
        declared,
        passed_over,
        giving_way,
        removals,
        left_out,
        lacking,
        because,
        kept,
        back_to,
        purge_data: matches!(goal, Goal::Original { purge_data: true }),
        strange: manifest.strange(),
    })
}

/// What hwctl has made in parts that are not meant.
fn what_stays(manifest: &Manifest, meant: &[Declared], scope: &Scope) -> Vec<Declared> {
    let meant: HashSet<Id> = meant.iter().map(|declared| declared.resource.id()).collect();
    let others = manifest.resources().filter(|(tag, _)| !scope.has(tag)).map(declared);
    others.filter(|other| !meant.contains(&other.resource.id())).collect()
}

/// The parts that are asked for by name and of which neither the operator nor the host knows anything.
fn unknown_parts(
    manifest: &Manifest,
    parts: &[PartSpec],
    scope: &Scope,
    host: &Host,
) -> Vec<String> {
    let Scope::Only(names) = scope else { return Vec::new() };
    // Specs that cannot be read are reported by whoever needs them.
    let kept = specs::names(host).unwrap_or_default();
    let is_known = |name: &String| {
        parts.iter().any(|part| part.name == *name)
            || kept.contains(name)
            || manifest.resources().any(|(tag, _)| tag == name)
    };
    names.iter().filter(|name| !is_known(name)).cloned().collect()
}

/// What is declared, with the folders on the way to it that the host lacks: they are made, and undone, as
/// the others are.
fn with_way(declared: Vec<Declared>, drivers: Drivers, host: &Host) -> Result<Vec<Declared>> {
    let mut known: HashSet<PathBuf> =
        declared.iter().filter_map(|d| d.resource.path()).map(Path::to_owned).collect();
    let mut all = Vec::new();
    for declared in declared {
        for path in missing_way(&declared.resource, &known, drivers, host)? {
            known.insert(path.clone());
            let folder = Directory::new(path, 0o755, Owner::root());
            all.push(Declared::new(&declared.tag, folder));
        }
        all.push(declared);
    }
    Ok(all)
}

/// The folders that are missing on the way to a resource and that nothing else makes, from the top down.
fn missing_way(
    resource: &Resource,
    known: &HashSet<PathBuf>,
    drivers: Drivers,
    host: &Host,
) -> Result<Vec<PathBuf>> {
    let path = match resource.profile().place {
        Place::Nowhere | Place::Vacant(_) => return Ok(Vec::new()),
        Place::Folder(path) | Place::Leaf(path) | Place::Bundle(path) => path,
    };
    let way = path.ancestors().skip(1);
    let missing = way.take_while(|path| !known.contains(*path) && !host.path(path).exists());
    let mut missing: Vec<_> = missing.map(Path::to_owned).collect();
    missing.reverse();
    // A package that is yet to be installed makes its own folders: as a rule those below `/etc`.
    let made_elsewhere = missing.iter().find_map(|path| drivers.package_that_makes(path));
    let is_made =
        |path: &PathBuf| path.starts_with("/etc") || drivers.package_that_makes(path).is_some();
    if missing.iter().any(is_made) {
        let package = made_elsewhere.or_else(|| order::package(resource, drivers, host));
        let installed = package.map(|name| installed_version(host, name)).transpose()?;
        if installed.flatten().is_none() {
            missing.retain(|path| !is_made(path));
        }
    }
    Ok(missing)
}

/// The link to the version before, and what is started with it.
fn previous_version(manifest: &Manifest, link: &Path, host: &Host) -> Result<Vec<Declared>> {
    let now = fs::read_link(host.path(link))
        .with_context(|| format!("read the link `{}`", link.display()))?;
    let series = |resource: &Resource| resource.series().map(str::to_owned);
    let of_now = manifest.resources().find(|(_, resource)| resource.path() == Some(&now));
    let of_now = of_now.and_then(|(_, resource)| series(resource));
    let others = manifest.resources().filter(|(_, resource)| {
        of_now.is_some() && series(resource) == of_now && resource.path() != Some(&now)
    });
    let mut there = others.filter_map(|(tag, resource)| Some((tag, resource.path()?)));
    let previous = there.rfind(|(_, path)| host.path(path).is_file());
    let (tag, target) = previous
        .ok_or_else(|| anyhow!("there is no version before `{}` on the host", now.display()))
        .hint("`hwctl deploy --binary PATH` deploys one")?;
    let link = Link { path: link.to_owned(), target: target.to_owned() };
    let first = Declared::new(tag, link);
    Ok(with_users(first, manifest))
}

/// A resource and what hwctl made that is started with it.
pub(in crate::engine) fn with_users(first: Declared, manifest: &Manifest) -> Vec<Declared> {
    let id = first.resource.id();
    let users = manifest.resources().filter(|(_, resource)| resource.inputs().contains(&id));
    std::iter::once(first).chain(users.map(declared)).collect()
}

/// The units, the containers and the firewall as they were declared last, with what they are started
/// with. The manifest keeps no content of files, so a file counts by what has read it.
pub(in crate::engine) fn what_runs(host: &Host) -> Result<Wanted> {
    let manifest = Manifest::load(host)?;
    let known: HashSet<Id> = manifest.resources().map(|(_, resource)| resource.id()).collect();
    let mut running: Vec<_> = manifest
        .as_declared()
        .filter(|(_, resource)| resource.is_service())
        .map(declared)
        .collect();
    let mut passed_over = inputs_of(&running, manifest.resources().map(|(_, resource)| resource));
    // An input that was as it should be when hwctl came is not in the manifest. It is read by its id,
    // and what has one that cannot be read so is left out.
    running.retain(|unit| {
        let unknown = unit.resource.inputs().iter().filter(|id| !known.contains(id));
        let found: Option<Vec<_>> = unknown.map(Resource::by_id).collect();
        let is_readable = found.is_some();
        passed_over.extend(found.into_iter().flatten());
        is_readable
    });
    let running = running.into_iter().map(Step::from).collect();
    Ok(Wanted { passed_over, ..Wanted::declared_only(running) })
}

/// The same with the links, which the manifest keeps whole.
pub(in crate::engine) fn what_is_comparable(host: &Host) -> Result<Wanted> {
    let mut wanted = what_runs(host)?;
    let manifest = Manifest::load(host)?;
    let links = manifest.as_declared().filter(|(_, it)| it.profile().target.is_some());
    let links: Vec<_> = links.map(declared).collect();
    let ids: HashSet<Id> = links.iter().map(|link| link.resource.id()).collect();
    wanted.passed_over.retain(|other| !ids.contains(&other.id()));
    // Links come before the units that read them.
    wanted.declared.splice(0..0, links.into_iter().map(Step::from));
    Ok(wanted)
}

fn declared((tag, resource): (&str, &Resource)) -> Declared {
    Declared::new(tag, resource.clone())
}

/// What of `others` the `meant` resources are started with.
fn inputs_of<'a>(meant: &[Declared], others: impl Iterator<Item = &'a Resource>) -> Vec<Resource> {
    let own: HashSet<Id> = meant.iter().map(|declared| declared.resource.id()).collect();
    let inputs: HashSet<&Id> = meant.iter().flat_map(|d| d.resource.inputs()).collect();
    let is_read = |id: &Id| inputs.contains(id) && !own.contains(id);
    others.filter(|other| is_read(&other.id())).cloned().collect()
}

/// Once the goal is reached: after hwctl has taken away what it made, its own folders go. Secrets
/// and the journal stay as long as the data does.
pub(in crate::engine) fn leave(goal: &Goal, host: &Host) -> Result<()> {
    let Goal::Original { purge_data } = goal else { return Ok(()) };
    let state = host.state_dir();
    let folders = match purge_data {
        true => vec![state],
        false => ["stamps", "blobs", "links"].map(|name| state.join(name)).to_vec(),
    };
    specs::forget(host)?;
    for folder in folders.into_iter().chain([host.path(Path::new(BINARY_FOLDER))]) {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove `{}`", folder.display()))?;
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::File;

    fn way_to(resources: Vec<Resource>, host: &Host) -> Vec<String> {
        let declared = |resource: Resource| Declared::new("sites", resource);
        let all = with_way(
            resources.into_iter().map(declared).collect(),
            crate::engine::driver::tests::DRIVERS,
            host,
        )
        .unwrap();
        all.iter().map(|declared| declared.resource.id().to_string()).collect()
    }

    fn folder(path: &str) -> Resource {
        let owner = Owner::root();
        Directory::new(path, 0o755, owner).into()
    }

    #[test]
    fn folders_that_are_missing_on_the_way_are_declared_once() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path(), Box::new(|_| anyhow::bail!("none")), Box::new(|_| ()));
        fs::create_dir(root.path().join("srv")).unwrap();

        let all = way_to(vec![folder("/srv/a/b/c"), folder("/srv/a/b/d"), folder("/srv/e")], &host);
        assert_eq!(
            all,
            ["/srv/a", "/srv/a/b", "/srv/a/b/c", "/srv/a/b/d", "/srv/e"]
                .map(|path| format!("directory {path}"))
        );
    }

    #[test]
    fn what_a_package_brings_is_left_to_it_unless_it_is_there_without() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path(), Box::new(|_| anyhow::bail!("none")), Box::new(|_| ()));
        let site = || -> Resource { File::text("/etc/nginx/sites-available/x", "x").into() };
        assert_eq!(way_to(vec![site(), folder("/var/www/x")], &host).len(), 3, "and /var");

        let status = "Package: nginx\nStatus: install ok installed\nVersion: 1.28.0\n\n";
        for path in ["var/lib/dpkg", "etc/nginx"] {
            fs::create_dir_all(root.path().join(path)).unwrap();
        }
        fs::write(root.path().join("var/lib/dpkg/status"), status).unwrap();
        let all = way_to(vec![site(), folder("/var/www/x")], &host);
        assert_eq!(all[0], "directory /etc/nginx/sites-available");
        assert_eq!(all[2], "directory /var/www");
    }
}
