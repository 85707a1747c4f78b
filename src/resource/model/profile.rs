//! What the engine asks of a resource without knowing its kind: where it lies, what it needs, when it is
//! made and when it is taken back.

use std::path::Path;

use crate::resource::model::blob::Blob;
use crate::resource::model::id::Id;

/// The answers of one resource.
///
/// Each kind writes all of them out. There is no default and no `..`, so a new question is a compile error
/// in every kind until it has an answer there.
#[derive(Clone, Copy, Debug)]
pub struct Profile<'a> {
    /// Where the resource lies in the file system.
    pub place: Place<'a>,
    /// Where a symbolic link leads.
    pub target: Option<&'a Path>,
    /// The files that a change replaces. They must be mutable, and their file systems need free space.
    pub written: [Option<&'a Path>; 2],
    /// The number of bytes that a change writes, as far as it is known beforehand.
    pub bytes: u64,
    /// The bytes that travel apart from the resource.
    pub blob: Option<&'a Blob>,
    /// The resources that this one reads when it starts.
    pub inputs: &'a [Id],
    /// What has to be installed before the resource can be made.
    pub needs: Needs<'a>,
    /// How the change takes its place among the others of a run.
    pub pace: Pace,
    /// Whether the resource holds what cannot be made again. Such a resource is removed only on request.
    pub is_data: bool,
    /// Whether a change can lock the operator out.
    pub risk: Risk,
    /// When the resource is taken back.
    pub undo: Undo,
    /// What the versions of one program have in common: their path without the version.
    pub series: Option<&'a str>,
    /// Whether another one takes over the work of this service before it ends. Such a service goes last.
    pub hands_over: bool,
}

/// Where a resource lies in the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// The resource is not a file of its own.
    Nowhere,
    /// A directory.
    Folder(&'a Path),
    /// A file or a symbolic link.
    Leaf(&'a Path),
    /// A path that is kept free.
    Vacant(&'a Path),
    /// Several files that change together, by the path of the first.
    Bundle(&'a Path),
}

impl<'a> Place<'a> {
    /// The path, for a resource that has one.
    #[must_use]
    pub fn path(self) -> Option<&'a Path> {
        match self {
            Self::Nowhere => None,
            Self::Folder(path) | Self::Leaf(path) | Self::Vacant(path) | Self::Bundle(path) => {
                Some(path)
            }
        }
    }

    /// The path, unless several files belong together there.
    #[must_use]
    pub fn single_path(self) -> Option<&'a Path> {
        match self {
            Self::Nowhere | Self::Bundle(_) => None,
            Self::Folder(path) | Self::Leaf(path) | Self::Vacant(path) => Some(path),
        }
    }

    /// Whether the resource is a directory.
    #[must_use]
    pub fn is_folder(self) -> bool {
        match self {
            Self::Folder(_) => true,
            Self::Nowhere | Self::Leaf(_) | Self::Vacant(_) | Self::Bundle(_) => false,
        }
    }
}

/// What has to be installed before a resource can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs<'a> {
    /// No package: the base system has what it needs.
    Nothing,
    /// One package, by name.
    Package(&'static str),
    /// All packages of the plan.
    AllPackages,
    /// The package of the firewall.
    Firewall,
    /// The package that brings the systemd unit of this name.
    Unit(&'a str),
    /// The package that owns the place where the resource lies.
    Place,
}

/// How a change takes its place among the others of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The change is made in its turn.
    InTurn,
    /// The change installs packages. It begins first and is never broken off. What needs none of the
    /// packages is made meanwhile.
    Install,
    /// The change begins as soon as Docker runs, goes on beside the others, and may be broken off.
    Fetch,
    /// The change begins as soon as nothing is left before it but images and what is made with Docker, goes on beside the
    /// others, and is never broken off.
    Ahead,
    /// The change is made in its turn. Whether the result stays up is judged at the end of the run.
    LaunchThenFinish,
    /// The change is made in its turn, once all that was begun before it is done: it relies on what other parts run.
    AfterOthers,
}

/// Whether a change can lock the operator out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Risk {
    /// It cannot.
    None,
    /// It can, so the host takes the change back unless a new login confirms it in time.
    LockOut,
}

/// What decides who may log in and who may become root.
const OF_LOGINS: [&str; 11] = [
    "/etc/group",
    "/etc/hosts.allow",
    "/etc/hosts.deny",
    "/etc/nsswitch.conf",
    "/etc/pam.d",
    "/etc/passwd",
    "/etc/security",
    "/etc/shadow",
    "/etc/ssh",
    "/etc/sudoers",
    "/etc/sudoers.d",
];

impl Risk {
    /// The risk of a change at a path.
    pub(in crate::resource) fn at(path: &Path) -> Self {
        let is_of_logins = OF_LOGINS.iter().any(|place| path.starts_with(place));
        if is_of_logins { Self::LockOut } else { Self::None }
    }
}

/// When a resource is taken back, in this order: what a service reads goes before the service, and what
/// may not come again goes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo {
    /// A file, a user or a setting.
    Setting,
    /// A file that the firewall is loaded with. A boot in the middle of a run loads it too, so it changes
    /// and goes back under the same timer as the firewall.
    FirewallFile,
    /// The firewall.
    Firewall,
    /// The service that containers, volumes and images need.
    ContainerRuntime,
    /// A container.
    Container,
    /// A systemd unit.
    Unit,
    /// What is stored: volumes, images and secrets.
    Stored,
    /// The packages.
    Packages,
}

impl Undo {
    /// Whether it is a service, or works like one. A service runs what other resources configure, so it is
    /// taken back in two steps: released before them, undone after them.
    #[must_use]
    pub fn is_of_service(self) -> bool {
        match self {
            Self::Firewall | Self::ContainerRuntime | Self::Container | Self::Unit => true,
            Self::Setting | Self::FirewallFile | Self::Stored | Self::Packages => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::kinds::file::File;
    use crate::resource::kinds::firewall::Firewall;
    use crate::resource::kinds::link::Link;
    use crate::resource::kinds::unit::{OnChange, Unit};
    use crate::resource::registry::{Declared, Resource};

    fn unit(name: &str) -> Resource {
        Resource::Unit(Unit::new(name, Vec::new(), OnChange::Restart))
    }

    #[test]
    fn what_can_lock_the_operator_out_follows_from_what_changes() {
        let firewall = Firewall { allow: Vec::new(), exclusive: false, inputs: Vec::new() };
        let link = Link { path: "/etc/ssh/sshd_config".into(), target: "/x".into() };
        let file = |path: &str| Resource::from(File::text(path, ""));
        let risky = [
            firewall.into(),
            link.into(),
            file("/etc/ssh/sshd_config.d/x.conf"),
            file("/etc/sudoers"),
            file("/etc/sudoers.d/x"),
            unit("ssh.socket"),
            unit("ufw.service"),
        ];
        let harmless = [file("/etc/sshd"), file("/etc/ufw/after.rules"), unit("app.service")];

        for (resources, risk) in [(&risky[..], Risk::LockOut), (&harmless, Risk::None)] {
            for resource in resources {
                assert_eq!(resource.profile().risk, risk, "{}", resource.id());
            }
        }
    }

    #[test]
    fn only_a_resource_that_its_name_leads_to_is_made_from_an_id() {
        for id in ["absent /a b", "file /x", "image redis:7", "link /l", "sysctl vm.swappiness"] {
            let id: Id = serde_json::from_value(id.into()).unwrap();
            assert_eq!(Resource::by_id(&id).map(|found| found.id()), Some(id));
        }
        for id in ["unit x.service", "secret key", "nothing x", "file"] {
            let id: Id = serde_json::from_value(id.into()).unwrap();
            assert_eq!(Resource::by_id(&id), None, "{id}");
        }
    }

    #[test]
    fn the_journal_keeps_no_text_of_a_file() {
        let file: Resource = File::text("/etc/env", "PASSWORD=planted").into();
        let declared = Declared::new("app", file.for_journal());

        assert!(!serde_json::to_string(&declared).unwrap().contains("planted"));
        assert_eq!(declared.resource.id(), file.id());
    }
}
