//! Patterns of files below a folder, written as in `.gitignore`.

use crate::resource::glob;

/// One pattern. `*.map` and `drafts/` mean names at any depth, `/drafts` and `docs/*.psd` paths from the top of the
/// folder. `**` stands for any number of folders, and a slash at the end for folders alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    segments: Vec<String>,
    is_for_folders: bool,
}

impl PathPattern {
    /// The pattern that a text stands for. What `!` would bring back cannot be said.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (path, is_for_folders) = match text.strip_suffix('/') {
            Some(path) => (path, true),
            None => (text, false),
        };
        let from_top = path.strip_prefix('/').unwrap_or(path);
        let is_name = !path.contains('/');
        let segments = is_name.then_some("**").into_iter().chain(from_top.split('/'));
        let segments: Vec<_> = segments.map(str::to_owned).collect();
        let is_sound = segments.iter().all(|s| !s.is_empty() && s != "." && s != "..")
            && !text.starts_with(['!', '#'])
            && !text.contains(|c: char| c == '\\' || c.is_control());
        is_sound.then_some(Self { segments, is_for_folders })
    }

    /// Whether a path below the folder fits, such as `docs/drafts`.
    pub(crate) fn has(&self, path: &str, is_folder: bool) -> bool {
        let names: Vec<_> = path.split('/').collect();
        (is_folder || !self.is_for_folders) && fits(&self.segments, &names)
    }
}

fn fits(segments: &[String], names: &[&str]) -> bool {
    match (segments, names) {
        // At the end it stands for what is in a folder, not for the folder.
        ([last], _) if last == "**" => !names.is_empty(),
        ([first, rest @ ..], _) if first == "**" => {
            fits(rest, names) || names.split_first().is_some_and(|(_, names)| fits(segments, names))
        }
        ([first, rest @ ..], [name, names @ ..]) => glob(first, name) && fits(rest, names),
        _ => segments.is_empty() && names.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_gitignore() {
        let has = |pattern: &str, path: &str| PathPattern::parse(pattern).unwrap().has(path, false);
        assert!(has("*.map", "app.js.map") && has("*.map", "a/b/app.js.map"));
        assert!(has("/a/*.txt", "a/x.txt") && !has("/a/*.txt", "a/b/x.txt"));
        assert!(has("a/**/x", "a/x") && has("a/**/x", "a/b/c/x") && !has("a/**/x", "b/x"));
        assert!(has("a/**", "a/b") && !has("a/**", "a"));
        assert!(has("/a", "a") && !has("/a", "b/a") && has("a", "b/a"));
        assert!(
            !has("drafts/", "drafts") && PathPattern::parse("drafts/").unwrap().has("drafts", true)
        );
        for wrong in ["", "/", "!a", "a//b", "../a", "a\\b", "#a"] {
            assert_eq!(PathPattern::parse(wrong), None, "{wrong:?}");
        }
    }
}
