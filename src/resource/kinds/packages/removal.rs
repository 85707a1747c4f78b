//! Which packages go when those that hwctl installed are taken away, and which are in use by others.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::simulation::simulate;
use crate::resource::host::Host;
use crate::resource::host::docker::foreign_containers;

/// What is removed, and what stays.
#[derive(Debug, Default)]
pub(super) struct Removal {
    /// Packages to remove: those that were asked for and what came along with them.
    pub(super) names: Vec<String>,
    /// Packages that stay, and why.
    pub(super) kept: Vec<String>,
}

impl Removal {
    /// Takes away `wanted` and what apt installed for them alone; nothing of `before`, which was
    /// there earlier, and nothing that others use now.
    pub(super) async fn of(
        wanted: &BTreeSet<String>,
        before: &BTreeSet<String>,
        host: &Host,
    ) -> Result<Self> {
        let mut removal = Self::default();
        let mut going = BTreeSet::new();
        if wanted.is_empty() {
            return Ok(removal);
        }
        // Most often all of them go: both answers are asked for at once.
        let (others, together) = tokio::join!(
            dependent(wanted, wanted, host),
            removed_with(host, &["--auto-remove"], wanted)
        );
        let others_go = others?.is_some();
        for name in wanted {
            let mut user = used_by(name, host).await?;
            if user.is_none() && others_go {
                let other = dependent(&BTreeSet::from([name.clone()]), wanted, host).await?;
                user = other.map(|other| format!("`{other}` needs it"));
            }
            match user {
                Some(why) => removal.kept.push(format!("{name} stays: {why}")),
                None => {
                    going.insert(name.clone());
                }
            }
        }
        if !going.is_empty() {
            let all = match going == *wanted {
                true => together?,
                false => removed_with(host, &["--auto-remove"], &going).await?,
            };
            removal.names = all.into_iter().filter(|name| !before.contains(name)).collect();
        }
        Ok(removal)
    }
}

impl Removal {
    /// Stops the units that the packages bring. Returns those that ran.
    pub(super) async fn stop_units(&self, host: &Host) -> Result<Vec<String>> {
        let units: BTreeSet<String> =
            self.names.iter().flat_map(|name| units_of(name, host)).collect();
        let mut running = Vec::new();
        for unit in units {
            if host.output("systemctl", &["is-active", "--quiet", &unit]).await?.status.success() {
                running.push(unit);
            }
        }
        if !running.is_empty() {
            host.progress(None, format!("stopping {}", running.join(", ")));
            let stop = ["stop".to_owned()].into_iter().chain(running.iter().cloned());
            host.output("systemctl", &stop.collect::<Vec<_>>()).await?;
        }
        Ok(running)
    }
}

/// The services and sockets among a package's files, as dpkg lists them.
fn units_of(package: &str, host: &Host) -> Vec<String> {
    let folder = host.path(Path::new("/var/lib/dpkg/info"));
    let lists = fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        // A package that is there for several architectures has it in the name.
        name.strip_suffix(".list").and_then(|name| name.split(':').next()) == Some(package)
    });
    let text: String = lists.filter_map(|entry| fs::read_to_string(entry.path()).ok()).collect();
    let units = text.lines().filter_map(|path| path.split_once("/systemd/system/"));
    let is_unit = |name: &&str| name.ends_with(".service") || name.ends_with(".socket");
    // A template such as `name@.service` is no unit by itself.
    let plain = units.map(|(_, name)| name).filter(is_unit).filter(|name| !name.contains('@'));
    plain.filter(|name| !name.contains('/')).map(str::to_owned).collect()
}

/// A package besides the `wanted` ones that would go with `names`, since it needs one of them.
async fn dependent(
    names: &BTreeSet<String>,
    wanted: &BTreeSet<String>,
    host: &Host,
) -> Result<Option<String>> {
    let going = removed_with(host, &[], names).await?;
    Ok(going.into_iter().find(|name| !wanted.contains(name)))
}

/// What apt would remove.
async fn removed_with(
    host: &Host,
    options: &[&str],
    names: &BTreeSet<String>,
) -> Result<Vec<String>> {
    let names = names.iter().map(String::as_str);
    let told = simulate(host, ["remove"].into_iter().chain(options.iter().copied()).chain(names));
    match told.await? {
        Ok(told) => Ok(removed(&told)),
        Err(error) => anyhow::bail!("`apt-get -s remove` fails: {error}"),
    }
}

/// The names in lines such as `Remv nginx [1.26.3-3]`.
fn removed(told: &str) -> Vec<String> {
    let names = told.lines().filter_map(|line| line.strip_prefix("Remv ")?.split(' ').next());
    names.map(str::to_owned).collect()
}

/// Who else uses what a package brings.
async fn used_by(name: &str, host: &Host) -> Result<Option<String>> {
    Ok(match name {
        "docker.io" | "docker-cli" => {
            let foreign = foreign_containers(host).await?.into_iter().next();
            foreign.map(|(name, _)| format!("container `{name}` runs in it"))
        }
        "nginx" => ["/etc/nginx/sites-enabled", "/etc/nginx/conf.d"]
            .iter()
            .find_map(|folder| foreign_entry(Path::new(folder), host))
            .map(|path| format!("it serves `{path}`")),
        _ => None,
    })
}

fn foreign_entry(folder: &Path, host: &Host) -> Option<String> {
    let entries = fs::read_dir(host.path(folder)).ok()?.flatten();
    let mut paths: Vec<_> = entries.map(|entry| folder.join(entry.file_name())).collect();
    paths.retain(|path| !path.ends_with("default") && !host.is_leaving(path));
    paths.first().map(|path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packages_units_are_found() {
        let root = tempfile::tempdir().unwrap();
        let host =
            Host::new(root.path(), Box::new(|_| anyhow::bail!("no blobs")), Box::new(|_| ()));
        let folder = root.path().join("var/lib/dpkg/info");
        fs::create_dir_all(&folder).unwrap();
        let files = "/.\n/usr/lib/systemd/system/docker.service\n/lib/systemd/system/docker.socket\n\
                     /usr/lib/systemd/system/x@.service\n/usr/lib/systemd/system/a.service.d/b.conf\n";
        fs::write(folder.join("docker.io:amd64.list"), files).unwrap();
        fs::write(folder.join("docker.list"), "/lib/systemd/system/other.service\n").unwrap();

        assert_eq!(units_of("docker.io", &host), ["docker.service", "docker.socket"]);
    }

    #[test]
    fn what_apt_would_remove_is_read() {
        let told =
            "Reading package lists...\nRemv nginx [1.26.3-3]\nRemv nginx-common [1.26.3-3]\n";
        assert_eq!(removed(told), ["nginx", "nginx-common"]);
    }
}
