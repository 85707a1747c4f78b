//! Which of a host's variables are hwctl's. They stand at the top, or below the key `hwctl` where others use the same
//! names. All other variables are passed over.

use std::collections::HashSet;
use std::sync::Arc;

use super::ansible::connection;
use super::names::{quoted, shown};
use super::schema::{Declared, Passwords, Vars};
use super::yaml::node::{self, Entry};
use super::yaml::problem::{Problem, nearest};
use super::{InventoryHost, Set, Warning};

/// The key below which hwctl's variables may stand.
const STRICT: &str = "hwctl";
const ELSEWHERE: &str = "if this variable belongs to another tool, put hwctl's variables below `hwctl:` (or write `hwctl: {}` if there are none), and hwctl ignores it";

/// Reads the variables of a host that are declared, and finds what in the others may be a mistake.
pub(super) fn read(
    host: &InventoryHost,
    declared: &[Declared],
    passwords: &Arc<Passwords>,
) -> Result<(Vars, Vec<Warning>), Vec<Problem>> {
    let names: HashSet<_> = declared.iter().map(|declared| declared.key.name).collect();
    let (given, strict) = given(host, declared)?;
    let others: Vec<_> =
        host.written().iter().filter(|entry| !names.contains(entry.key.as_str())).collect();
    let has_others = others.iter().any(|entry| is_foreign(&entry.key, &names));
    let (mut problems, mut warnings, mut noted) = (Vec::new(), Vec::new(), Vec::new());
    for entry in &others {
        let meant = near_miss(&entry.key, &names);
        let name = shown(&entry.key);
        if entry.place.is_argument() && (meant.is_some() || is_foreign(&entry.key, &names)) {
            let problem = Problem::at(&entry.place, format!("unknown variable `{name}`"));
            problems.push(match meant {
                Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
                None => problem.hint("name a variable of your own, for templates, `x_…`"),
            });
        } else if let Some(meant) = meant {
            let message = format!("`{name}` is ignored: did you mean `{meant}`?");
            warnings.push((
                Problem::at(&entry.place, &message).without_line(),
                Warning { place: entry.place.to_string(), message },
            ));
        }
    }
    match strict {
        Some(strict) => {
            problems.extend(unknown(strict, &names));
            noted = passed_over(host, declared, passwords);
        }
        None if has_others => problems.extend(ambiguous(&given, declared)),
        None => {}
    }
    match Vars::read(declared.iter(), &given, passwords, host.port) {
        Ok(vars) if problems.is_empty() => {
            noted.extend(warnings.into_iter().map(|(_, warning)| warning));
            return Ok((vars, noted));
        }
        Ok(_) => {}
        Err(wrong) if strict.is_none() && has_others => {
            problems.extend(wrong.into_iter().map(|problem| problem.or_hint(ELSEWHERE)));
        }
        Err(wrong) => problems.extend(wrong),
    }
    // A name that is passed over may be why.
    problems.extend(warnings.into_iter().map(|(problem, _)| problem));
    Err(problems)
}

/// Reads one variable of a host.
pub(super) fn read_one(
    host: &InventoryHost,
    declared: &Declared,
    passwords: &Arc<Passwords>,
) -> Result<Vars, Vec<Problem>> {
    let (given, _) = given(host, std::slice::from_ref(declared))?;
    Vars::read([declared].into_iter(), &given, passwords, host.port)
}

/// Variables, and all that stands below `hwctl` where they do.
pub(super) type Given<'a> = (Vec<Entry>, Option<&'a [Entry]>);

/// What the inventory gives these variables, evaluated, and the entries below `hwctl` where they stand there.
pub(super) fn given<'a>(
    host: &'a InventoryHost,
    declared: &[Declared],
) -> Result<Given<'a>, Vec<Problem>> {
    let (written, strict) = written(host, declared).map_err(|problem| vec![problem])?;
    let (mut given, mut problems) = (Vec::new(), Vec::new());
    for entry in written {
        let declared = declared.iter().find(|declared| declared.key.name == entry.key);
        let Some(declared) = declared else { continue };
        match host.evaluate_as(&entry.node, declared.key.shape) {
            Ok(node) => given.push(Entry { node, ..entry }),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok((given, strict)) } else { Err(problems) }
}

/// The same as it was written.
fn written<'a>(host: &'a InventoryHost, declared: &[Declared]) -> Result<Given<'a>, Problem> {
    let is_own = |entry: &&Entry| declared.iter().any(|one| one.key.name == entry.key);
    let strict = host.written().iter().find(|entry| entry.key == STRICT && !entry.node.is_null());
    let Some(strict) = strict else {
        return Ok((host.written().iter().filter(is_own).cloned().collect(), None));
    };
    let Some(entries) = strict.node.entries() else {
        let message =
            format!("`{STRICT}` takes a map of hwctl's variables, not {}", strict.node.kind());
        return Err(Problem::at(&strict.node.place, message).hiding(&strict.node, None));
    };
    let mut given: Vec<_> = entries.iter().filter(is_own).cloned().collect();
    // A setting of the command line is hwctl's in any case.
    let is_set = |set: &&Set| declared.iter().any(|one| one.key.name == set.path[0]);
    for set in host.sets().iter().filter(is_set) {
        node::put_at(&mut given, &set.path, set.node.clone())?;
    }
    Ok((given, Some(entries)))
}

/// What stands below `hwctl` and is no variable of it.
fn unknown(strict: &[Entry], names: &HashSet<&str>) -> Vec<Problem> {
    let unknown = strict.iter().filter(|entry| !names.contains(entry.key.as_str()));
    let problem = |entry: &Entry| {
        let meant = nearest(&entry.key, names.iter().copied());
        let message = format!("unknown variable `{}` in `{STRICT}`", shown(&entry.key));
        let problem = Problem::at(&entry.place, message).hiding(&entry.node, meant);
        let mut names: Vec<_> = names.iter().copied().collect();
        names.sort_unstable();
        problem.hint(match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("`{STRICT}` has {}", quoted(&names)),
        })
    };
    unknown.map(problem).collect()
}

/// The variables at the top that would be hwctl's if none stood below `hwctl`.
fn passed_over(
    host: &InventoryHost,
    declared: &[Declared],
    passwords: &Arc<Passwords>,
) -> Vec<Warning> {
    let looks_like_ours = |entry: &&Entry| {
        let declared = declared.iter().find(|declared| declared.key.name == entry.key);
        let given = std::slice::from_ref(*entry);
        declared.is_some_and(|one| Vars::read([one].into_iter(), given, passwords, None).is_ok())
    };
    let is_written = |entry: &&Entry| !host.sets().iter().any(|set| set.path[0] == entry.key);
    let warning = |entry: &Entry| Warning {
        place: entry.place.to_string(),
        message: format!(
            "`{}` is ignored: this inventory has hwctl's variables below `{STRICT}`",
            entry.key
        ),
    };
    host.written().iter().filter(is_written).filter(looks_like_ours).map(warning).collect()
}

/// Variables beside those of other tools which nothing shows to be hwctl's: names that others use as well.
fn ambiguous(given: &[Entry], declared: &[Declared]) -> Vec<Problem> {
    let is_common = |entry: &Entry| {
        declared.iter().any(|declared| declared.key.name == entry.key && declared.is_common)
    };
    let written: Vec<_> = given.iter().filter(|entry| !entry.place.is_argument()).collect();
    if written.iter().any(|entry| !is_common(entry)) {
        return Vec::new();
    }
    let problem = |entry: &Entry| {
        let message =
            format!("`{}` is ambiguous: other tools use this variable name too", entry.key);
        let hint = format!(
            "if it is meant for hwctl, write `{STRICT}: {{ {}: … }}`; if it is not, add `{STRICT}: {{}}` and hwctl ignores it",
            entry.key
        );
        Problem::at(&entry.place, message).hint(hint).hiding(&entry.node, None)
    };
    written.into_iter().map(problem).collect()
}

/// Whether a variable that hwctl does not know is another tool's, and neither Ansible's nor the user's own.
fn is_foreign(name: &str, names: &HashSet<&str>) -> bool {
    let is_ansibles = name.starts_with("ansible_");
    name != STRICT && !is_ansibles && !is_private(name) && near_miss(name, names).is_none()
}

fn is_private(name: &str) -> bool {
    name.starts_with("x_") || name.starts_with("x-")
}

/// The variable of hwctl's, or of Ansible's that hwctl uses, that is likely meant by a name with a typing error.
fn near_miss<'a>(name: &str, names: &HashSet<&'a str>) -> Option<&'a str> {
    // Short names are near too many others, and two letters of them are half a word.
    let typos = match name.chars().count() {
        0..4 => return None,
        4..6 => 1,
        _ => 2,
    };
    if name == STRICT || is_private(name) || connection::is_known(name) {
        return None;
    }
    let meant = if name.starts_with("ansible_") {
        nearest(name, connection::used())
    } else {
        // In alphabetical order, so that of two that are as near it is always the same one.
        let mut known: Vec<_> = names.iter().copied().chain([STRICT]).collect();
        known.sort_unstable();
        nearest(name, known)
    };
    meant.filter(|meant| strsim::damerau_levenshtein(name, meant) <= typos)
}
