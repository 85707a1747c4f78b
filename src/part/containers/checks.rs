//! What must hold within a container's settings, and between containers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::ports::by_number;
use super::vars::{ContainerVars, Containers};
use crate::inventory::schema::{Fields, Reader, Vars};
use crate::part::firewall::{SSH_PORT, holder_of};
use crate::part::own_folder::overlap;
use crate::part::sites::Sites;
use crate::resource::{Mount, MountSource};

/// Where hwctl starts a container's program from.
const OWN_FOLDER: &str = "/.hwctl";

/// Checks one container by itself.
pub(super) fn of_one(
    container: &ContainerVars,
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
) -> bool {
    let path = fields.path();
    let mut is_sound = true;
    let mut refuse = |reader: &mut Reader<'_>, key: &str, message: String, hint: &str| {
        is_sound = false;
        if let Some(field) = fields.optional(key) {
            reader.refuse::<()>(&field, message, hint);
        }
    };
    for (number, _) in by_number(&container.ports) {
        let Some(holder) = holder_of(number) else { continue };
        let message = format!("`{path}.ports` cannot have {number}: that port is {holder}'s");
        refuse(reader, "ports", message, "choose a free port, such as 5432");
    }
    for port in &container.ports {
        let same = |other: &&super::ports::PortVar| other.port == port.port;
        let is_both = |other: &super::ports::PortVar| {
            other.to != port.to || other.from.is_some() != port.from.is_some()
        };
        if container.ports.iter().filter(same).any(is_both) {
            let message = format!("`{path}.ports` has {} in two ways", port.port);
            refuse(reader, "ports", message, "several entries of a port differ in `from` alone");
            break;
        }
    }
    if let Some(target) = shared_target(&container.volumes, &container.tmpfs) {
        let message = format!("`{path}` has two things at `{}`", target.display());
        refuse(reader, "volumes", message, "give each volume and each `tmpfs` a path of its own");
    }
    is_sound
}

/// A path inside that two mounts have, or that is hwctl's.
pub(in crate::part) fn shared_target<'a>(
    volumes: &'a [Mount],
    tmpfs: &'a [PathBuf],
) -> Option<&'a Path> {
    let targets = volumes.iter().map(|mount| mount.target.as_path());
    let mut seen = BTreeSet::new();
    targets
        .chain(tmpfs.iter().map(PathBuf::as_path))
        .find(|target| target.starts_with(OWN_FOLDER) || !seen.insert(*target))
}

/// Checks the containers against each other and other variables.
pub(super) fn of_all(containers: &Containers, vars: &Vars, reader: &mut Reader<'_>) {
    for (name, container) in &containers.0 {
        depends_on_others(name, container, &containers.0, reader);
        let is_of_ssh = |port: &u16| reader.ssh_port() == Some(*port) && *port != SSH_PORT;
        if let Some((port, _)) = by_number(&container.ports).into_iter().find(|(p, _)| is_of_ssh(p))
        {
            let path = format!("containers.{name}.ports");
            let message = format!("`{path}` cannot have {port}: that port is ssh's");
            reader.refuse_path([&path, &path], message, "choose a free port, such as 5432");
        }
    }
    let all = containers.0.iter().map(|(name, container)| {
        (format!("containers.{name}.volumes"), container.volumes.as_slice())
    });
    folders_are_apart(&[], all, vars, reader);
}

fn depends_on_others(
    name: &str,
    container: &ContainerVars,
    all: &BTreeMap<String, ContainerVars>,
    reader: &mut Reader<'_>,
) {
    let path = format!("containers.{name}.depends");
    for other in &container.depends {
        if !all.contains_key(other) {
            let message = format!("`{path}` names `{other}`, and there is no such container");
            reader.refuse_path([&path, &path], message, "name one of `containers`");
        } else if reaches(other, name, all, &mut BTreeSet::new()) {
            let message = format!("`{path}` leads in a circle: `{other}` depends on `{name}`");
            reader.refuse_path([&path, &path], message, "take one of the two out");
        }
    }
}

/// Whether one container depends on another, by way of others too.
fn reaches<'a>(
    from: &'a str,
    to: &str,
    all: &'a BTreeMap<String, ContainerVars>,
    seen: &mut BTreeSet<&'a str>,
) -> bool {
    if from == to {
        return true;
    }
    let Some(container) = all.get(from).filter(|_| seen.insert(from)) else { return false };
    container.depends.iter().any(|next| reaches(next, to, all, seen))
}

/// What lies in a folder of the host is seen by one container, and served by no site. Each of the `checked` volumes comes
/// with the path of its setting, as the `others` do.
pub(in crate::part) fn folders_are_apart<'a>(
    others: &[(String, &'a [Mount])],
    checked: impl Iterator<Item = (String, &'a [Mount])>,
    vars: &'a Vars,
    reader: &mut Reader<'_>,
) {
    let mut known: Vec<(String, &Path)> = Vec::new();
    if let Some(Sites(sites)) = vars.find() {
        let with_files = sites.iter().filter(|(_, site)| site.redirect.is_none());
        let roots = with_files.map(|(name, site)| (format!("sites.{name}.root"), &*site.root));
        known.extend(roots);
    }
    for (path, mounts) in others {
        for mount in *mounts {
            if let MountSource::Path(folder) = &mount.source {
                known.push((path.clone(), folder));
            }
        }
    }
    for (path, mounts) in checked {
        for mount in mounts {
            let MountSource::Path(folder) = &mount.source else { continue };
            if let Some((other, _)) = known.iter().find(|(_, other)| overlap(folder, other)) {
                let place = reader.place(other).map(|place| format!(" ({place})"));
                let message = format!(
                    "`{path}` and `{other}`{} overlap: one folder contains the other",
                    place.unwrap_or_default()
                );
                reader.refuse_path([&path, other], message, "give each a folder of its own");
            }
            known.push((path.clone(), folder));
        }
    }
}

/// The names of the containers, each after those that it depends on, and otherwise sorted.
pub(super) fn in_order(all: &BTreeMap<String, ContainerVars>) -> Vec<&str> {
    fn place<'a>(
        name: &'a str,
        all: &'a BTreeMap<String, ContainerVars>,
        seen: &mut BTreeSet<&'a str>,
        ordered: &mut Vec<&'a str>,
    ) {
        let Some(container) = all.get(name).filter(|_| seen.insert(name)) else { return };
        for next in &container.depends {
            place(next, all, seen, ordered);
        }
        ordered.push(name);
    }
    let (mut seen, mut ordered) = (BTreeSet::new(), Vec::new());
    for name in all.keys() {
        place(name, all, &mut seen, &mut ordered);
    }
    ordered
}
