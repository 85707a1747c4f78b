//! The difference between a reviewed plan and the one that was made anew, as a person reads it.

use std::fmt::Write as _;

use super::Style;
use super::text::change_text;
use crate::event::{Change, Differing, Planned};

/// What differs, each change with its before and after.
pub(super) fn difference_text(
    style: Style,
    came: &[Planned],
    went: &[Planned],
    differ: &[Differing],
) -> String {
    let mut text = "the plan is not the one that was reviewed".to_owned();
    let mut add = |label: &str, planned: &Planned| {
        let label = style.paint(label, "36");
        let _ = write!(text, "\n{label} {}", change_text(style, &planned.change));
    };
    for planned in came {
        add("not reviewed:", planned);
    }
    for planned in went {
        // Its before and after do not matter any more.
        let change = Change { details: Vec::new(), not_undone: None, ..planned.change.clone() };
        add("not needed any more:", &Planned { change, ..planned.clone() });
    }
    for Differing { reviewed, now } in differ {
        if reviewed == now {
            add("differs in what is not shown, such as a password:", now);
        } else {
            add("reviewed:", reviewed);
            add("now:", now);
        }
    }
    if came.is_empty() && went.is_empty() && differ.is_empty() {
        text.push_str(": the same changes come in another order");
    }
    text
}
