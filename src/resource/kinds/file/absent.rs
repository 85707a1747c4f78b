//! A path where nothing should be.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::MAX_SHOWN;
use crate::resource::host::Host;
use crate::resource::host::path_state::{PathState, in_the_way, remove};
use crate::resource::kinds::firewall::undo_of_file;
use crate::resource::kinds::kind::Kind;
use crate::resource::kinds::path_back::path_back;
use crate::resource::model::change::{Action, Back, Change, Detail};
use crate::resource::model::id::Id;
use crate::resource::model::profile::{Needs, Pace, Place, Profile, Risk};

/// A path where there should be no file and no link. A directory is never removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absent {
    /// Absolute path on the host.
    pub path: PathBuf,
    /// The package that brings it: a plan that installs the package removes it too.
    pub brought_by: Option<String>,
}

impl Kind for Absent {
    type State = PathState;

    const WORD: &'static str = "absent";

    fn id(&self) -> Id {
        Id::new(Self::WORD, self.path.display())
    }

    fn named(name: &str) -> Option<Self> {
        Some(Self { path: name.into(), brought_by: None })
    }

    fn profile(&self) -> Profile<'_> {
        Profile {
            place: Place::Vacant(&self.path),
            target: None,
            written: [Some(&self.path), None],
            bytes: 0,
            blob: None,
            inputs: &[],
            needs: Needs::Place,
            pace: Pace::InTurn,
            is_data: false,
            risk: Risk::at(&self.path),
            undo: undo_of_file(&self.path),
            series: None,
            hands_over: false,
        }
    }

    fn for_journal(&self) -> Self {
        self.clone()
    }

    async fn read(&self, host: &Host) -> Result<PathState> {
        PathState::read(&host.path(&self.path), host)
    }

    fn diff(&self, state: &PathState, host: &Host) -> Result<Option<Change>> {
        let change = Change::new(self.id(), Action::Remove);
        match state {
            PathState::Absent => Ok(match &self.brought_by {
                Some(package) if !host.has_come(package) => {
                    let installed =
                        crate::resource::kinds::packages::installed_version(host, package)?;
                    let brings = || change.because(format!("package {package} brings it"));
                    installed.is_none().then(brings)
                }
                _ => None,
            }),
            PathState::Other(found) => {
                in_the_way(&self.path, found, "nothing")?;
                Ok(None)
            }
            PathState::Link { target, .. } => {
                let before = Some(format!("symbolic link to {}", target.display()));
                Ok(Some(change.attribute("type", before, None)))
            }
            PathState::Large { size, .. } => {
                Ok(Some(change.detail(Detail::Binary { before: Some(*size), after: None })))
            }
            PathState::File { bytes, .. } => Ok(Some(change.detail(match str::from_utf8(bytes) {
                Ok(text) if text.len() <= MAX_SHOWN => {
                    Detail::Text { before: text.to_owned(), after: String::new() }
                }
                _ => Detail::Binary { before: Some(bytes.len() as u64), after: None },
            }))),
        }
    }

    fn digest(&self, _: &PathState, _: &Host) -> Option<String> {
        Some("absent".to_owned())
    }

    fn digest_now(&self, state: &PathState, host: &Host) -> Option<String> {
        match state {
            PathState::Absent => self.digest(state, host),
            _ => state.digest(),
        }
    }

    fn changed_at(&self, host: &Host) -> Option<SystemTime> {
        crate::resource::host::fs::changed(&host.path(&self.path))
    }

    fn stays(&self, state: &PathState) -> Result<Option<String>> {
        Ok(state.other_names())
    }

    async fn apply(&self, state: &PathState, host: &Host) -> Result<()> {
        let path = host.path(&self.path);
        state.keep(&path, host)?;
        remove(&path, host)
    }

    async fn wait_for_others(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn launch(&self, _: &PathState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn finish(&self, state: &PathState, host: &Host) -> Result<()> {
        self.apply(state, host).await
    }

    async fn sweep(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn release(&self, _: &PathState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn undo(&self, before: &PathState, host: &Host) -> Result<()> {
        before.restore(&host.path(&self.path), host)
    }

    async fn diff_back(&self, now: &PathState, to: &PathState, host: &Host) -> Result<Back> {
        path_back(self.id(), &self.path, now, to, host)
    }
}
