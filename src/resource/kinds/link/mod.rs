//! A symbolic link.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::resource::host::Host;
use crate::resource::host::attributes::LinkAttributes;
use crate::resource::host::entry::Entry;
use crate::resource::host::path_state::{PathState, in_the_way};
use crate::resource::kinds::firewall::undo_of_file;
use crate::resource::kinds::kind::Kind;
use crate::resource::kinds::path_back::path_back;
use crate::resource::model::change::{Action, Back, Change};
use crate::resource::model::id::Id;
use crate::resource::model::profile::{Needs, Pace, Place, Profile, Risk};

/// A symbolic link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Absolute path of the link itself.
    pub path: PathBuf,
    /// Where it points, as written into it.
    pub target: PathBuf,
}

impl Kind for Link {
    type State = PathState;

    const WORD: &'static str = "link";

    fn id(&self) -> Id {
        Id::new(Self::WORD, self.path.display())
    }

    fn named(name: &str) -> Option<Self> {
        Some(Self { path: name.into(), target: PathBuf::new() })
    }

    fn profile(&self) -> Profile<'_> {
        Profile {
            place: Place::Leaf(&self.path),
            target: Some(&self.target),
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
        let after = Some(self.target.display().to_string());
        let (action, before) = match state.unless_leaving(&self.path, host) {
            PathState::Absent => (Action::Create, None),
            PathState::Link { target, .. } => (Action::Update, Some(target.display().to_string())),
            // Kept in the manifest and given back. What is in it is not shown: it may be a secret.
            PathState::File { .. } | PathState::Large { .. } => {
                return Ok(Some(
                    Change::new(self.id(), Action::Update)
                        .attribute(
                            "type",
                            Some("file".to_owned()),
                            Some("symbolic link".to_owned()),
                        )
                        .attribute("target", None, after),
                ));
            }
            PathState::Other(found) => {
                in_the_way(&self.path, found, "symbolic link")?;
                return Ok(None);
            }
        };
        Ok(Change::new(self.id(), action).attribute("target", before, after).unless_empty())
    }

    fn digest(&self, _: &PathState, _: &Host) -> Option<String> {
        Some(self.target.display().to_string())
    }

    fn digest_now(&self, state: &PathState, _: &Host) -> Option<String> {
        match state {
            PathState::Link { target, .. } => Some(target.display().to_string()),
            _ => None,
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
        Entry::require(&path)?.link(&self.target, &LinkAttributes::default(), &host.batch)
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
