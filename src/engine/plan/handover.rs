//! Services that hand their work over to others before they end: whoever sends them work has to learn of their successors
//! first.

use std::collections::HashSet;
use std::path::Path;

use crate::engine::record::step::Step;
use crate::resource::{Id, Pace, Undo};

/// Puts the services that hand their work over behind all others, and what they read behind them.
pub(super) fn put_last(removals: &mut [&Step]) {
    let ending: Vec<&Step> = removals.iter().copied().filter(|step| step.ends_late()).collect();
    if ending.is_empty() {
        return;
    }
    let inputs: HashSet<Id> =
        ending.iter().flat_map(|step| step.resource.inputs()).cloned().collect();
    let tags: HashSet<&str> = ending.iter().map(|step| step.tag.as_str()).collect();
    let is_read = |step: &Step| inputs.contains(&step.resource.id());
    let paths: Vec<&Path> = removals
        .iter()
        .filter(|step| is_read(step))
        .filter_map(|step| step.resource.path())
        .collect();
    let is_above = |step: &Step| {
        let folder = step.resource.path().filter(|_| step.resource.profile().place.is_folder());
        folder.is_some_and(|folder| paths.iter().any(|path| path.starts_with(folder)))
    };
    // A user cannot go before its processes.
    let is_user = |step: &Step| {
        let is_setting = step.resource.profile().undo == Undo::Setting;
        is_setting && step.resource.path().is_none() && tags.contains(step.tag.as_str())
    };
    removals.sort_by_key(|step| match step {
        step if step.ends_late() => 1,
        step if is_read(step) => 2,
        step if is_above(step) => 3,
        step if is_user(step) => 4,
        // What a container needs until it ends: networks, Docker itself, and its package.
        step if super::rank(step) >= super::LATE_RANK => 5,
        _ => 0,
    });
}

impl Step {
    /// Whether it is made once all that was begun before it is done.
    pub(in crate::engine) fn waits_for_others(&self) -> bool {
        self.to.is_none() && self.resource.profile().pace == Pace::AfterOthers
    }

    /// Whether it is a service that hands its work over and then ends.
    pub(in crate::engine) fn ends_late(&self) -> bool {
        let to = self.to.as_ref().filter(|_| self.resource.hands_over());
        to.is_some_and(|to| self.resource.is_stopped_in(to))
    }
}
