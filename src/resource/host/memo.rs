//! The memo of a plan: what it leaves of each resource. The planner writes it, and comparing reads it.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Host;
use crate::resource::model::digest::sha256;
use crate::resource::model::id::Id;

/// What a plan leaves of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoEntry {
    /// Whether the plan changes it.
    pub changed: bool,
    /// See `Kind::digest`.
    pub digest: Option<String>,
    /// The digest of what the host has now, where the plan changes it.
    pub before: Option<String>,
    /// See `Kind::changed_at`.
    pub changed_at: Option<SystemTime>,
}

/// What one plan leaves, as far as it is made or carried out.
#[derive(Debug, Default)]
pub(super) struct PlanMemo {
    outcomes: RefCell<HashMap<Id, MemoEntry>>,
    /// Paths that the plan removes.
    leaving: RefCell<HashSet<PathBuf>>,
}

impl Host {
    /// Begins a plan: forgets what was read and what another plan would have left.
    pub fn begin_plan(&self) {
        self.forget();
        self.memo.leaving.borrow_mut().clear();
        self.memo.outcomes.borrow_mut().clear();
    }

    /// Notes that the plan removes a path.
    pub fn note_leaving(&self, path: &Path) {
        let mut leaving = self.memo.leaving.borrow_mut();
        leaving.insert(path.to_owned());
        // Where a link is on the way, the folder that it is in has another path.
        let real = path.parent().and_then(|folder| self.path(folder).canonicalize().ok());
        let below = real.as_ref().and_then(|real| real.strip_prefix(&self.root).ok());
        if let Some((below, name)) = below.zip(path.file_name()) {
            leaving.insert(Path::new("/").join(below).join(name));
        }
    }

    /// Whether the plan removes a path.
    pub(in crate::resource) fn is_leaving(&self, path: &Path) -> bool {
        self.memo.leaving.borrow().contains(path)
    }

    /// Whether the plan changes a resource into something that is not known yet.
    pub(in crate::resource) fn will_be_unknown(&self, id: &Id) -> bool {
        let outcomes = self.memo.outcomes.borrow();
        outcomes.get(id).is_some_and(|outcome| outcome.changed && outcome.digest.is_none())
    }

    /// When the newest of `inputs` changed on disk.
    pub(in crate::resource) fn last_change_of(&self, inputs: &[Id]) -> Option<SystemTime> {
        let outcomes = self.memo.outcomes.borrow();
        inputs.iter().filter_map(|id| outcomes.get(id)?.changed_at).max()
    }

    /// The first of `inputs` that the plan changes.
    pub(in crate::resource) fn first_changed(&self, inputs: &[Id]) -> Option<Id> {
        let outcomes = self.memo.outcomes.borrow();
        inputs.iter().find(|id| outcomes.get(id).is_some_and(|found| found.changed)).cloned()
    }

    /// Remembers what the plan leaves of a resource, for those that depend on it.
    pub fn record(&self, id: Id, outcome: MemoEntry) {
        self.memo.outcomes.borrow_mut().insert(id, outcome);
    }

    /// The digest of what the host has of a resource that the plan changes, where it has one.
    #[must_use]
    pub fn digest_now_of(&self, id: &Id) -> Option<String> {
        self.memo.outcomes.borrow().get(id)?.before.clone()
    }

    /// Notes the content of a resource that the plan changed, once it is applied.
    pub fn record_applied(&self, id: Id, digest: Option<String>, changed_at: Option<SystemTime>) {
        self.record(id, MemoEntry { changed: true, digest, before: None, changed_at });
    }

    /// One digest over the content of `inputs` once the plan is applied; `None` when one of them
    /// is not known yet.
    #[must_use]
    pub fn digest_of(&self, inputs: &[Id]) -> Option<String> {
        self.digest_over(inputs, |outcome| outcome.digest.as_deref())
    }

    /// The same over the content that `inputs` have before the plan is applied.
    pub(in crate::resource) fn digest_before(&self, inputs: &[Id]) -> Option<String> {
        self.digest_over(inputs, |outcome| match outcome.changed {
            true => outcome.before.as_deref(),
            false => outcome.digest.as_deref(),
        })
    }

    fn digest_over(
        &self,
        inputs: &[Id],
        digest: impl Fn(&MemoEntry) -> Option<&str>,
    ) -> Option<String> {
        let outcomes = self.memo.outcomes.borrow();
        let mut text = String::new();
        for id in inputs {
            let digest = digest(outcomes.get(id)?)?;
            text.push_str(id.as_str());
            text.push('\0');
            text.push_str(digest);
            text.push('\n');
        }
        Some(sha256(text.as_bytes()))
    }
}
