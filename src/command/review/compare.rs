//! The difference between a reviewed plan and the one that was made anew.

use super::SealedChange;
use crate::event::{Differing, EventKind, Planned};

/// What differs; None where the plans are the same.
pub(super) fn difference(reviewed: &[SealedChange], now: &[SealedChange]) -> Option<EventKind> {
    if reviewed == now {
        return None;
    }
    let came = without(now, reviewed);
    let went = without(reviewed, now);
    let differ = reviewed.iter().filter_map(|old| {
        let new = now.iter().find(|new| is_same_resource(old, new))?;
        (old != new).then(|| Differing { reviewed: old.planned.clone(), now: new.planned.clone() })
    });
    Some(EventKind::PlanDiffers { came, went, differ: differ.collect() })
}

/// The changes of resources that have none among the `others`.
fn without(changes: &[SealedChange], others: &[SealedChange]) -> Vec<Planned> {
    let is_alone =
        |change: &&SealedChange| !others.iter().any(|other| is_same_resource(change, other));
    changes.iter().filter(is_alone).map(|change| change.planned.clone()).collect()
}

fn is_same_resource(one: &SealedChange, other: &SealedChange) -> bool {
    one.planned.change.id == other.planned.change.id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, Change, Id};

    fn change(name: &str, action: Action, seal: &str) -> SealedChange {
        let change = Change::new(Id::new("file", name), action);
        SealedChange { planned: Planned { tag: "host".into(), change }, seal: seal.to_owned() }
    }

    #[test]
    fn changes_that_came_went_or_differ_are_told_apart() {
        let stays = change("/stays", Action::Create, "1");
        let reviewed = [
            stays.clone(),
            change("/went", Action::Create, "1"),
            change("/secret", Action::Update, "1"),
            change("/shown", Action::Create, "1"),
        ];
        let now = [
            stays,
            change("/secret", Action::Update, "2"),
            change("/shown", Action::Update, "1"),
            change("/came", Action::Create, "1"),
        ];

        let found = difference(&reviewed, &now);

        let Some(EventKind::PlanDiffers { came, went, differ }) = found else {
            panic!("{found:?}")
        };
        let ids = |planned: &[Planned]| -> Vec<String> {
            planned.iter().map(|planned| planned.change.id.to_string()).collect()
        };
        assert_eq!(ids(&came), ["file /came"]);
        assert_eq!(ids(&went), ["file /went"]);
        assert_eq!(differ.len(), 2);
        assert_eq!(differ[0].reviewed, differ[0].now, "the difference is not shown");
        assert_eq!(differ[1].now.change.action, Action::Update);
    }

    #[test]
    fn the_same_changes_in_another_order_are_another_plan() {
        let (one, two) = (change("/1", Action::Create, "1"), change("/2", Action::Create, "1"));

        let found = difference(&[one.clone(), two.clone()], &[two, one.clone()]);

        let none = (Vec::new(), Vec::new(), Vec::new());
        let (came, went, differ) = none;
        assert_eq!(found, Some(EventKind::PlanDiffers { came, went, differ }));
        let same = std::slice::from_ref(&one);
        assert_eq!(difference(same, same), None);
    }
}
