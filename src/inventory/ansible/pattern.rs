//! Which hosts a pattern means: names, groups, wildcards, unions, `&` intersections, `!`
//! exclusions, `~` regular expressions.

use regex_lite::Regex;

use super::groups::{ALL, Graph};
use crate::inventory::names::{quoted, shown};
use crate::inventory::yaml::problem::{Problem, nearest};
use crate::resource::glob;

/// The hosts that a pattern of Ansible means, in the order of its parts.
pub(in crate::inventory) fn select(graph: &Graph, pattern: &str) -> Result<Vec<usize>, Problem> {
    let mut parts = Vec::new();
    for part in split(pattern) {
        match part.strip_prefix('@') {
            Some(file) => parts.extend(lines(file)?),
            None => parts.push(part.to_owned()),
        }
    }
    let plain = |part: &&String| !part.starts_with(['!', '&']);
    let mut chosen = Vec::new();
    if parts.iter().any(|part| plain(&part)) {
        for part in parts.iter().filter(plain) {
            for host in matches(graph, part)? {
                if !chosen.contains(&host) {
                    chosen.push(host);
                }
            }
        }
    } else if !parts.is_empty() {
        chosen = graph.hosts_of(ALL);
    }
    for part in parts.iter().filter_map(|part| part.strip_prefix('&')) {
        let also = matches(graph, part)?;
        chosen.retain(|host| also.contains(host));
    }
    for part in parts.iter().filter_map(|part| part.strip_prefix('!')) {
        let not = matches(graph, part)?;
        chosen.retain(|host| !not.contains(host));
    }
    if chosen.is_empty() {
        return Err(Problem::nowhere(format!("no host matches `{}`", shown(pattern))));
    }
    Ok(chosen)
}

/// The parts of a pattern: at commas, or, when there are none, at colons outside of brackets.
fn split(pattern: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let commas = pattern.contains(',');
    let address = pattern.trim_start_matches(['!', '&']).parse::<std::net::Ipv6Addr>().is_ok();
    let parts = pattern.split(|c| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ',' => return true,
            ':' => return !commas && !address && depth == 0,
            _ => {}
        }
        false
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// The parts in a file, one a line, as Ansible writes it for hosts that failed.
fn lines(file: &str) -> Result<Vec<String>, Problem> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Problem::nowhere(format!("cannot read the file of hosts `{}`: {error}", shown(file)))
    })?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(str::to_owned).collect())
}

/// The hosts that one part means.
fn matches(graph: &Graph, part: &str) -> Result<Vec<usize>, Problem> {
    if let Some(host) = graph.find_host(part) {
        return Ok(vec![host]);
    }
    let (name, wanted) = Name::parse(part)?;
    let mut found = Vec::new();
    let mut group_matched = false;
    for (at, group) in graph.groups.iter().enumerate() {
        if name.is_of(&group.name) {
            group_matched = true;
            found.extend(graph.hosts_of(at));
        }
    }
    if !group_matched || name.may_mean_several() {
        found.extend((0..graph.hosts.len()).filter(|at| name.is_of(&graph.hosts[*at].name)));
    }
    if !group_matched && found.is_empty() {
        return Err(unmatched(graph, part));
    }
    // Ansible counts a host once for each group and name that matches, so this comes before
    // repeated hosts are dropped: `*[1]` may well be the same host as `*[0]`.
    let mut picked = match wanted {
        None => found,
        Some((first, last)) => pick(&found, first, last).ok_or_else(|| {
            let message = format!("`{}` counts past its {} hosts", shown(part), found.len());
            Problem::nowhere(message)
        })?,
    };
    let mut seen = std::collections::HashSet::new();
    picked.retain(|host| seen.insert(*host));
    Ok(picked)
}

/// What names have to be like.
enum Name<'a> {
    /// A name, or one with wildcards.
    Glob(&'a str),
    /// `~` and a regular expression, which a name begins with.
    Regex(Regex),
}

/// Which of several hosts are meant: the first one, and the last one of a range.
type Subscript = Option<(i64, Option<i64>)>;

impl<'a> Name<'a> {
    fn parse(part: &'a str) -> Result<(Self, Subscript), Problem> {
        let Some(pattern) = part.strip_prefix('~') else {
            let (name, wanted) = subscript(part);
            return Ok((Self::Glob(name), wanted));
        };
        let regex = Regex::new(&format!("^(?:{pattern})")).map_err(|error| {
            let message = format!("`{}` is no regular expression: {error}", shown(pattern));
            Problem::nowhere(message).hint("quote it for the shell: '~web[0-9]+'")
        });
        Ok((Self::Regex(regex?), None))
    }

    fn is_of(&self, name: &str) -> bool {
        match self {
            Self::Glob(pattern) => glob(pattern, name),
            Self::Regex(pattern) => pattern.is_match(name),
        }
    }

    fn may_mean_several(&self) -> bool {
        match self {
            Self::Glob(pattern) => pattern.contains(['.', '?', '*', '[']),
            Self::Regex(_) => true,
        }
    }
}

/// Takes `[0]`, `[-1]` or `[0:2]` off the end of a part.
fn subscript(part: &str) -> (&str, Subscript) {
    let parse = || {
        let (name, inner) = part.strip_suffix(']')?.rsplit_once('[')?;
        let wanted = match inner.split_once(':') {
            Some((first, "")) => (first.parse::<u32>().ok()?.into(), Some(-1)),
            Some((first, last)) => {
                (first.parse::<u32>().ok()?.into(), Some(last.parse::<u32>().ok()?.into()))
            }
            None => (inner.parse::<i32>().ok()?.into(), None),
        };
        (!name.is_empty()).then_some((name, wanted))
    };
    match parse() {
        Some((name, wanted)) => (name, Some(wanted)),
        None => (part, None),
    }
}

/// The hosts from the first up to and with the last; negative numbers count from the end.
fn pick(hosts: &[usize], first: i64, last: Option<i64>) -> Option<Vec<usize>> {
    let place = |at: i64| {
        let at = if at < 0 { at + i64::try_from(hosts.len()).ok()? } else { at };
        usize::try_from(at).ok().filter(|at| *at < hosts.len())
    };
    let first = place(first)?;
    match last {
        // `[2:0]` is `[2]` to Ansible.
        None | Some(0) => Some(vec![hosts[first]]),
        Some(last) => {
            let last = place(last).unwrap_or(hosts.len() - 1);
            Some(hosts.get(first..=last).unwrap_or_default().to_vec())
        }
    }
}

/// The message for a part that matches nothing, with the names that are near or there.
fn unmatched(graph: &Graph, part: &str) -> Problem {
    let problem = Problem::nowhere(format!("no host or group matches `{}`", shown(part)));
    let names = || {
        let groups = graph.groups.iter().map(|group| group.name.as_str());
        graph.hosts.iter().map(|host| host.name.as_str()).chain(groups)
    };
    if let Some(near) = nearest(part, names()) {
        return problem.hint(format!("did you mean `{near}`?"));
    }
    let there: Vec<_> = names().take(8).collect();
    let more = if names().count() > there.len() { " and more" } else { "" };
    problem.hint(format!("the inventory has {}{more}", quoted(&there)))
}
