//! All kinds as one enum, and each operation handed on to the kind.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::resource::host::accounts::Accounts;
use crate::resource::host::fs;
use crate::resource::host::path_state::PathState;
use crate::resource::host::{Host, MemoEntry};
use crate::resource::kinds::certificate::Certificate;
use crate::resource::kinds::container::{Container, ContainerState};
use crate::resource::kinds::directory::{Directory, DirectoryState};
use crate::resource::kinds::file::content::Content;
use crate::resource::kinds::file::{Absent, File};
use crate::resource::kinds::firewall::{self, Firewall};
use crate::resource::kinds::host_secret::HostSecret;
use crate::resource::kinds::image::Image;
use crate::resource::kinds::kind::{
    Examined, Kind, Reading, examine, examine_back, pass_over, read,
};
use crate::resource::kinds::link::Link;
use crate::resource::kinds::login::Login;
use crate::resource::kinds::network::Network;
use crate::resource::kinds::packages::Packages;
use crate::resource::kinds::ssh_keys::SshKeys;
use crate::resource::kinds::sysctl::Sysctl;
use crate::resource::kinds::task::Task;
use crate::resource::kinds::unit::{Unit, UnitState};
use crate::resource::kinds::user::User;
use crate::resource::kinds::volume::Volume;
use crate::resource::model::blob::Blob;
use crate::resource::model::change::Back;
use crate::resource::model::id::Id;
use crate::resource::model::profile::{Place, Profile, Undo};
use crate::resource::model::saved::Saved;

/// The bit of a file's permissions that lets everybody read it.
const READ_BY_OTHERS: u32 = 0o004;

/// The kinds as one enum, and each operation handed on to the kind; boxed, since the largest kind's
/// would otherwise be the size of all.
macro_rules! kinds {
    ($($name:ident),* $(,)?) => {
        /// One thing the host should have.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "each kind is documented at its own type")]
        pub enum Resource {
            $($name($name),)*
        }

        $(impl From<$name> for Resource {
            fn from(kind: $name) -> Self {
                Self::$name(kind)
            }
        })*

        impl Resource {
            /// Notes its secrets, so that nothing which programs print shows them.
            pub fn hide_secrets(&self, host: &Host) {
                match self {
                    Self::File(file) => file.content.hide_secrets(host),
                    Self::Image(Image { login: Some(login), .. }) => host.hide(login.password.expose()),
                    _ => {}
                }
            }

            /// The same of a resource as the host keeps it, by what the host has.
            pub fn hide_kept_secrets(&self, host: &Host) {
                if let Self::File(File { path, mode, .. }) = self
                    && mode & READ_BY_OTHERS == 0
                {
                    Content::hide_environment(path, host);
                }
            }

            /// The resource's name.
            #[must_use]
            pub fn id(&self) -> Id {
                match self { $(Self::$name(kind) => kind.id(),)* }
            }

            /// A resource to be read, not made: one whose state its id alone leads to.
            #[must_use]
            pub fn by_id(id: &Id) -> Option<Self> {
                let (word, name) = id.as_str().split_once(' ')?;
                $(if word == $name::WORD {
                    return $name::named(name).map(Self::$name);
                })*
                None
            }

            /// What the engine asks of every resource.
            #[must_use]
            pub fn profile(&self) -> Profile<'_> {
                match self { $(Self::$name(kind) => kind.profile(),)* }
            }

            /// The resource as the journal keeps it: what an undo needs and no password.
            #[must_use]
            pub fn for_journal(&self) -> Self {
                match self { $(Self::$name(kind) => Self::$name(kind.for_journal()),)* }
            }

            /// The resources that have to be compared before this one.
            #[must_use]
            pub fn depends_on(&self) -> Vec<Id> {
                match self { $(Self::$name(kind) => kind.depends_on(),)* }
            }

            /// The users and groups that have to be on the host.
            #[must_use]
            pub fn accounts(&self) -> Accounts {
                match self { $(Self::$name(kind) => kind.accounts(),)* }
            }

            /// The name of the user and group that it makes.
            #[must_use]
            pub fn makes_account(&self) -> Option<&str> {
                match self { $(Self::$name(kind) => kind.makes_account(),)* }
            }

            /// Says what will be read, so that reads can be done together.
            pub fn expect(&self, host: &Host) {
                match self { $(Self::$name(kind) => kind.expect(host),)* }
            }

            /// Reads what the host has, for a plan.
            pub async fn read(&self, host: &Host) -> Result<Reading<'_>> {
                match self { $(Self::$name(kind) => Box::pin(read(kind, host)).await,)* }
            }

            /// Reads what the host has, for those that are started with it while a plan passes this
            /// resource over.
            pub async fn pass_over(&self, host: &Host) -> Result<MemoEntry> {
                match self { $(Self::$name(kind) => Box::pin(pass_over(kind, host)).await,)* }
            }

            /// Reads what the host has and says what has to change.
            pub async fn examine(&self, host: &Host) -> Result<Examined> {
                match self { $(Self::$name(kind) => Box::pin(examine(kind, host)).await,)* }
            }

            /// Reads what the host has, and says what brings it back to the state `to`.
            pub async fn examine_back(&self, to: &Saved, host: &Host) -> Result<(Saved, Back)> {
                match self { $(Self::$name(kind) => Box::pin(examine_back(kind, to, host)).await,)* }
            }

            /// Brings the host from the state `before` to the desired one.
            pub async fn apply(&self, before: &Saved, host: &Host) -> Result<()> {
                match self {
                    $(Self::$name(kind) => {
                        let before = before.state()?;
                        Box::pin(kind.apply(&before, host)).await
                    })*
                }
            }

            /// Waits while something else on the host works on what `apply` changes.
            pub async fn wait_for_others(&self, host: &Host) -> Result<()> {
                match self { $(Self::$name(kind) => Box::pin(kind.wait_for_others(host)).await,)* }
            }

            /// Begins a change that goes on beside others; no other change is made meanwhile.
            pub async fn launch(&self, before: &Saved, host: &Host) -> Result<()> {
                match self {
                    $(Self::$name(kind) => {
                        let before = before.state()?;
                        Box::pin(kind.launch(&before, host)).await
                    })*
                }
            }

            /// Finishes a change that [`Self::launch`] has begun.
            pub async fn finish(&self, before: &Saved, host: &Host) -> Result<()> {
                match self {
                    $(Self::$name(kind) => {
                        let before = before.state()?;
                        Box::pin(kind.finish(&before, host)).await
                    })*
                }
            }

            /// Removes what a run that was cut off has left beside it, such as a second one on trial.
            pub async fn sweep(&self, host: &Host) -> Result<()> {
                match self { $(Self::$name(kind) => Box::pin(kind.sweep(host)).await,)* }
            }

            /// The first of two steps in which a service is taken back: stops one that did not run
            /// before.
            pub async fn release(&self, before: &Saved, host: &Host) -> Result<()> {
                match self {
                    $(Self::$name(kind) => {
                        let before = before.state()?;
                        Box::pin(kind.release(&before, host)).await
                    })*
                }
            }

            /// Brings the host back to the state `to` for good.
            pub async fn restore(&self, to: &Saved, host: &Host) -> Result<()> {
                match self {
                    $(Self::$name(kind) => {
                        let to = to.state()?;
                        Box::pin(kind.restore(&to, host)).await
                    })*
                }
            }

            /// Takes an `apply` back: brings the host to the state `before`.
            pub async fn undo(&self, before: &Saved, host: &Host) -> Result<()> {
                match self {
                    $(Self::$name(kind) => {
                        let before = before.state()?;
                        Box::pin(kind.undo(&before, host)).await
                    })*
                }
            }
        }
    };
}

kinds!(
    Absent,
    Certificate,
    Container,
    Directory,
    File,
    Firewall,
    HostSecret,
    Image,
    Link,
    Login,
    Network,
    Packages,
    SshKeys,
    Sysctl,
    Task,
    Unit,
    User,
    Volume,
);

impl Resource {
    /// Refuses a change of what the host's file system does not let anybody change.
    pub fn require_mutable(&self, host: &Host) -> Result<()> {
        let written = self.profile().written;
        written.iter().flatten().try_for_each(|path| fs::require_mutable(&host.path(path)))
    }

    /// The path it is at, for those that are one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.profile().place.path()
    }

    /// The state in which nothing is at the resource's path; `None` for a resource that is no file,
    /// folder or link.
    #[must_use]
    pub fn nothing(&self) -> Option<Saved> {
        match self.profile().place {
            Place::Folder(_) => Saved::of(&DirectoryState::Absent).ok(),
            Place::Leaf(_) | Place::Vacant(_) => Saved::of(&PathState::Absent).ok(),
            Place::Nowhere | Place::Bundle(_) => None,
        }
    }

    /// Whether the host has something of the resource's own type at its path.
    #[must_use]
    pub fn is_at_its_path(&self, host: &Host) -> bool {
        let place = self.profile().place;
        let found = place.path().map(|path| host.path(path).symlink_metadata());
        found.is_some_and(|found| found.is_ok_and(|found| found.is_dir() == place.is_folder()))
    }

    /// The resources that it is started with.
    #[must_use]
    pub fn inputs(&self) -> &[Id] {
        self.profile().inputs
    }

    /// The bytes it needs that travel apart from it.
    #[must_use]
    pub fn blob(&self) -> Option<&Blob> {
        self.profile().blob
    }

    /// Whether it holds what cannot be made again: it is removed only when that is asked for.
    #[must_use]
    pub fn is_data(&self) -> bool {
        self.profile().is_data
    }

    /// Where a link leads in an earlier state.
    #[must_use]
    pub fn target_in(&self, state: &Saved) -> Option<PathBuf> {
        self.profile().target?;
        match state.state().ok()? {
            PathState::Link { target, .. } => Some(target),
            PathState::Absent
            | PathState::File { .. }
            | PathState::Large { .. }
            | PathState::Other(_) => None,
        }
    }

    /// How many bytes an earlier state takes on disk once the host is brought back to it.
    #[must_use]
    pub fn size_in(&self, state: &Saved) -> u64 {
        let large = match self.profile().place {
            Place::Leaf(_) | Place::Vacant(_) => state.state().ok(),
            Place::Nowhere | Place::Folder(_) | Place::Bundle(_) => None,
        };
        match large {
            Some(PathState::Large { size, .. }) => size,
            _ => state.size(),
        }
    }

    /// What the versions of one program have in common: their path without the version.
    #[must_use]
    pub fn series(&self) -> Option<&str> {
        self.profile().series
    }

    /// Whether it is a unit or works like one (a container, the firewall): those run what the
    /// others configure, and are undone in two steps.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.profile().undo.is_of_service()
    }

    /// Whether another one takes over the work of this service before it ends.
    #[must_use]
    pub fn hands_over(&self) -> bool {
        self.profile().hands_over
    }

    /// Whether this is a unit or a container that does not run in an earlier state.
    #[must_use]
    pub fn is_stopped_in(&self, state: &Saved) -> bool {
        match self.profile().undo {
            Undo::Unit | Undo::ContainerRuntime => {
                state.state().is_ok_and(|state: UnitState| !state.was_active())
            }
            Undo::Container => state.state().is_ok_and(|state: ContainerState| !state.is_up()),
            Undo::Setting | Undo::FirewallFile | Undo::Firewall | Undo::Stored | Undo::Packages => {
                false
            }
        }
    }
}

/// Keeps what was found out and may hold for the next run: hashes of passwords, digests of large files, the
/// rules in the kernel.
pub fn keep_for_next_run(host: &Host) {
    // Without them a next run is slower, and no less right.
    for kept in [host.keep_vouchers(), host.keep_digests(), firewall::keep_listing(host)] {
        drop(kept);
    }
}

/// A resource in its stack: with the tag that `--only` and `--skip` know it by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Declared {
    /// The part that it belongs to, such as `nginx`: the first one that declares it.
    pub tag: String,
    /// The resource.
    pub resource: Resource,
    /// The other parts that declare it too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared_with: Vec<String>,
}

impl Declared {
    /// A resource of one part.
    pub fn new(tag: impl Into<String>, resource: impl Into<Resource>) -> Self {
        Self { tag: tag.into(), resource: resource.into(), shared_with: Vec::new() }
    }

    /// Adds a part that declares it too.
    pub fn share_with(&mut self, part: &str) {
        if !self.parts().any(|known| known == part) {
            self.shared_with.push(part.to_owned());
        }
    }

    /// The parts that declare it.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.tag).chain(&self.shared_with).map(String::as_str)
    }
}
