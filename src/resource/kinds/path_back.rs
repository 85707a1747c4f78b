//! The way back to an earlier state of a path, as a plan shows it.

use std::path::Path;

use anyhow::Result;

use crate::resource::host::Host;
use crate::resource::host::attributes::Attributes;
use crate::resource::host::fs::{mode_text, owner_text};
use crate::resource::host::path_state::{PathState, in_the_way};
use crate::resource::model::change::{Action, Back, Change, Detail};
use crate::resource::model::id::Id;

/// Longer texts are not shown.
const MAX_TEXT: usize = 64 << 10;

/// The change that brings `path` from one state to an earlier one.
pub(in crate::resource) fn path_back(
    id: Id,
    path: &Path,
    now: &PathState,
    to: &PathState,
    host: &Host,
) -> Result<Back> {
    let now = now.unless_leaving(path, host);
    if now == to || matches!(to, PathState::Other(_)) {
        return Ok(Back::Nothing);
    }
    if let PathState::Other(found) = now {
        // A folder that took the place of a file or link is not what went.
        if *to == PathState::Absent {
            return Ok(Back::Nothing);
        }
        in_the_way(path, found, "file or nothing")?;
    }
    if let Some(why) = to.is_lost(now, host) {
        return Ok(Back::Kept(why));
    }
    let action = match (now, to) {
        (PathState::Absent, _) => Action::Create,
        (_, PathState::Absent) => Action::Remove,
        _ => Action::Update,
    };
    let change = Change::new(id, action);
    if action == Action::Remove {
        return Ok(Back::Change(match now {
            PathState::File { .. } | PathState::Large { .. } => {
                change.detail(Detail::Binary { before: now.size(), after: None })
            }
            _ => change.attribute("target", target(now), None),
        }));
    }
    let (mode_now, owner_now) = access(now, host)?;
    let (mode_to, owner_to) = access(to, host)?;
    let acl = |state: &PathState| state.attributes().and_then(|found| found.acl(host));
    let capabilities = |state: &PathState| state.attributes().and_then(Attributes::capabilities);
    let others = |state: &PathState| state.attributes().and_then(Attributes::others);
    let mut change = change
        .attribute("target", target(now), target(to))
        .attribute("mode", mode_now, mode_to)
        .attribute("owner", owner_now, owner_to)
        .attribute("acl", acl(now), acl(to))
        .attribute("capabilities", capabilities(now), capabilities(to))
        .attribute("attributes", others(now), others(to));
    if !now.has_content_of(to) {
        change.details.push(content(now, to));
    }
    Ok(Back::Change(change))
}

fn target(state: &PathState) -> Option<String> {
    match state {
        PathState::Link { target, .. } => Some(target.display().to_string()),
        _ => None,
    }
}

fn access(state: &PathState, host: &Host) -> Result<(Option<String>, Option<String>)> {
    Ok(match state {
        PathState::File { mode, uid, gid, .. } | PathState::Large { mode, uid, gid, .. } => {
            (Some(mode_text(*mode)), Some(owner_text(host, *uid, *gid)?))
        }
        PathState::Link { attributes, .. } => {
            let owner = attributes.owner.map(|(uid, gid)| owner_text(host, uid, gid));
            (None, owner.transpose()?)
        }
        _ => (None, None),
    })
}

/// What not everybody on the host may read is not shown: nothing else tells that it is no secret.
fn content(now: &PathState, to: &PathState) -> Detail {
    let shown = |state: &PathState| match state {
        PathState::File { mode, bytes, .. } => (mode & 0o004 != 0 && bytes.len() <= MAX_TEXT)
            .then(|| String::from_utf8(bytes.clone()).ok())
            .flatten(),
        PathState::Large { .. } => None,
        _ => Some(String::new()),
    };
    if let (Some(before), Some(after)) = (shown(now), shown(to)) {
        return Detail::Text { before, after };
    }
    Detail::Binary { before: now.size(), after: to.size() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::host::attributes::LinkAttributes;

    fn file(mode: u32, text: &str) -> PathState {
        let attributes = Box::default();
        PathState::File { mode, uid: 0, gid: 0, bytes: text.into(), attributes }
    }

    fn details(now: &PathState, to: &PathState) -> Vec<Detail> {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path(), Box::new(|_| anyhow::bail!("none")), Box::new(|_| ()));
        let back = path_back(Id::new("file", "/x"), Path::new("/x"), now, to, &host).unwrap();
        match back {
            Back::Change(change) => change.details,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_everybody_may_read_is_shown() {
        let text = Detail::Text { before: "new\n".into(), after: "old\n".into() };
        assert_eq!(details(&file(0o644, "new\n"), &file(0o644, "old\n")), [text]);
        for (now, to) in [(0o600, 0o644), (0o644, 0o640), (0o600, 0o600)] {
            let details = details(&file(now, "planted"), &file(to, "planted too"));
            assert!(!format!("{details:?}").contains("planted"), "{details:?}");
        }
        let gone = details(&file(0o600, "planted"), &PathState::Absent);
        assert_eq!(gone, [Detail::Binary { before: Some(7), after: None }]);
    }

    #[test]
    fn a_link_in_a_files_place_is_shown_with_its_target() {
        let attributes = LinkAttributes::default();
        let link = PathState::Link { target: "/etc/other".into(), attributes };
        let target = |detail: &Detail| {
            matches!(detail, Detail::Attribute { name, after: Some(after), .. }
                if name == "target" && after == "/etc/other")
        };
        assert!(details(&file(0o644, "x"), &link).iter().any(target));
    }
}
