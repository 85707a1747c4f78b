//! Names on the command line that the inventory gives a meaning: of parts, logs and what can be restarted.

use crate::command::fleet::hosts::Work;
use crate::failure::Failure;
use crate::inventory::nearest;
use crate::spec::PartSpec;

/// How many names a message lists.
const MAX_NAMES: usize = 8;

/// Refuses the first of the `given` names that is not `known`. `problem` is what the message begins with, such as
/// "there is no log".
pub(in crate::command) fn require_known<'a>(
    problem: &str,
    given: impl IntoIterator<Item = &'a String>,
    known: &[String],
) -> Result<(), Failure> {
    let Some(name) = given.into_iter().find(|name| !known.contains(name)) else { return Ok(()) };
    let listed = known.join(", ");
    let hint = match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`? There are {listed}"),
        None => format!("there are {listed}"),
    };
    Err(Failure::usage(format!("{problem} `{name}`")).not_done("no host was contacted").hint(hint))
}

/// The names of the parts that the hosts have, and of the kinds of this build: a part that has left the inventory
/// may still be on a host.
pub(in crate::command) fn of_parts(works: &[Work]) -> Vec<String> {
    let parts = works.iter().flat_map(Work::parts).map(|part| part.name);
    let kinds = works.first().into_iter().flat_map(|work| work.kinds.names());
    each_once(parts.chain(kinds.map(str::to_owned)))
}

/// What of these parts can be restarted.
pub(in crate::command) fn of_restarts(parts: impl IntoIterator<Item = PartSpec>) -> Vec<String> {
    let restarts = parts.into_iter().flat_map(|part| part.restarts);
    each_once(restarts.map(|restart| restart.name))
}

/// The operator's apps among these parts.
pub(in crate::command) fn of_apps(parts: impl IntoIterator<Item = PartSpec>) -> Vec<String> {
    each_once(parts.into_iter().filter(|part| part.is_app).map(|part| part.name))
}

/// The logs of these parts.
pub(in crate::command) fn of_logs(parts: impl IntoIterator<Item = PartSpec>) -> Vec<String> {
    each_once(parts.into_iter().flat_map(|part| part.logs).map(|log| log.name))
}

/// Names for a message, which has room for the first of thousands.
pub(in crate::command) fn a_few<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(MAX_NAMES);
    let listed = names.take(MAX_NAMES).collect::<Vec<_>>().join(", ");
    if more == 0 { listed } else { format!("{listed} and {more} more") }
}

/// The names in their order, without those that came before.
pub(in crate::command) fn each_once(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for name in names {
        if !once.contains(&name) {
            once.push(name);
        }
    }
    once
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_told_with_the_nearest_and_all_there_are() {
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let known = names(&["sites", "nginx"]);
        let hint = |given: &[&str]| {
            let refused = require_known("there is no part", &names(given), &known);
            refused.err().and_then(|failure| failure.hint)
        };

        assert_eq!(hint(&["nginx", "sites"]), None);
        assert_eq!(
            hint(&["nginx", "site"]).as_deref(),
            Some("did you mean `sites`? There are sites, nginx")
        );
        assert_eq!(hint(&["zebra"]).as_deref(), Some("there are sites, nginx"));
    }

    #[test]
    fn a_message_lists_a_few_names_of_many() {
        let names: Vec<_> = (0..10_000).map(|at| format!("h{at}")).collect();
        let few = |count: usize| a_few(names[..count].iter().map(String::as_str));

        assert_eq!(few(2), "h0, h1");
        assert_eq!(few(10_000), "h0, h1, h2, h3, h4, h5, h6, h7 and 9992 more");
    }

    #[test]
    fn names_that_several_parts_have_are_listed_once() {
        let names = ["b", "a", "b"].map(str::to_owned);

        assert_eq!(each_once(names), ["b", "a"]);
    }
}
