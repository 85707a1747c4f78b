//! Counts the changes on one host, from the events of its run.

use std::sync::{Mutex, PoisonError};

use crate::event::{EventKind, Id, Outcome};

/// What is known of the changes on a host so far.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    planned: usize,
    /// The changes that were made and not taken back.
    kept: Vec<Id>,
}

impl Tally {
    /// Takes note of an event on the host.
    pub(super) fn hear(&self, what: &EventKind) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match what {
            EventKind::Plan { changes } => {
                *counts = Counts { planned: changes.len(), kept: Vec::new() };
            }
            EventKind::ChangeDone { id, .. } => counts.kept.push(id.clone()),
            EventKind::ChangeUndone { id } => {
                if let Some(at) = counts.kept.iter().position(|kept| kept == id) {
                    counts.kept.remove(at);
                }
            }
            _ => {}
        }
    }

    /// The number for the summary: all that was planned where the work succeeded, else what stays on the host.
    pub(super) fn changes(&self, outcome: Outcome) -> usize {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Outcome::Unchanged | Outcome::Changed | Outcome::Restarted | Outcome::Answered => {
                counts.planned
            }
            Outcome::Failed
            | Outcome::Undone
            | Outcome::Unreachable
            | Outcome::Refused
            | Outcome::Interrupted
            | Outcome::Skipped => counts.kept.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, Change, Planned};

    fn id(name: &str) -> Id {
        Id::new("file", name)
    }

    /// The tally of a run with three changes, of which two were made.
    fn two_of_three() -> Tally {
        let change = |name| {
            let change = Change::new(id(name), Action::Create);
            Planned { tag: "host".to_owned(), change }
        };
        let tally = Tally::default();
        tally.hear(&EventKind::Plan { changes: ["/1", "/2", "/3"].map(change).to_vec() });
        for (index, name) in ["/1", "/2"].into_iter().enumerate() {
            tally.hear(&EventKind::ChangeDone { index, id: id(name), elapsed_ms: 1 });
        }
        tally
    }

    #[test]
    fn a_run_that_was_stopped_counts_what_it_has_made() {
        let tally = two_of_three();

        assert_eq!(tally.changes(Outcome::Interrupted), 2);
        assert_eq!(tally.changes(Outcome::Failed), 2);
        assert_eq!(tally.changes(Outcome::Changed), 3);
    }

    #[test]
    fn a_run_that_was_undone_counts_what_could_not_be_taken_back() {
        let tally = two_of_three();

        for name in ["/3", "/2"] {
            tally.hear(&EventKind::ChangeUndone { id: id(name) });
        }
        assert_eq!(tally.changes(Outcome::Undone), 1);
        tally.hear(&EventKind::ChangeUndone { id: id("/1") });
        assert_eq!(tally.changes(Outcome::Undone), 0);
    }
}
