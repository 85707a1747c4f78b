//! Whether nginx's logs rotate. logrotate passes over a whole file when one of its logs was named by a file
//! before it, and says so only to those who ask it to explain itself.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::engine::{Case, Driver, Later, Symptoms};
use crate::event::Finding;
use crate::resource::{Host, Resource};

/// The driver of what looks after a host.
#[derive(Debug)]
pub(crate) struct Upkeep;

impl Driver for Upkeep {
    fn name(&self) -> &'static str {
        "upkeep"
    }

    fn inspect<'a>(&'a self, _: &'a str, case: &'a Case<'a>) -> Later<'a, String> {
        Box::pin(rotation(case.host))
    }

    fn diagnose<'a>(&'a self, case: &'a Case<'a>, _: &'a Symptoms<'a>) -> Later<'a, Vec<Finding>> {
        Box::pin(async { Ok(Vec::from_iter(wrong_rotation(case.host).await)) })
    }

    fn concerns(&self, resource: &Resource, host: &Host) -> Vec<String> {
        match resource.path() == Some(Path::new(OWN)) {
            true => foreign(host).iter().map(Foreign::consequence).collect(),
            false => Vec::new(),
        }
    }
}

/// hwctl's own file.
const OWN: &str = "/etc/logrotate.d/nginx";
const FOLDER: &str = "/etc/logrotate.d";
const MAIN: &str = "/etc/logrotate.conf";
/// The folder of the logs, and logs that are in it on every host.
const LOGS: &str = "/var/log/nginx";
const SAMPLES: [&str; 3] = ["access.log", "error.log", "main_access.log"];
/// Endings of files that logrotate passes over.
const IGNORED: [&str; 16] = [
    "~",
    ",v",
    ".bak",
    ".cfsaved",
    ".disabled",
    ".dpkg-bak",
    ".dpkg-del",
    ".dpkg-dist",
    ".dpkg-new",
    ".dpkg-old",
    ".dpkg-tmp",
    ".rhn-cfg-tmp",
    ".rpmnew",
    ".rpmorig",
    ".rpmsave",
    ".swp",
];
/// Words that begin a script, which ends with `endscript`.
const SCRIPTS: [&str; 5] = ["prerotate", "postrotate", "firstaction", "lastaction", "preremove"];

/// A file of somebody else that names nginx's logs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Foreign {
    path: PathBuf,
    /// Whether logrotate reads it before hwctl's file, which it then passes over.
    is_first: bool,
}

impl Foreign {
    /// What follows from it.
    fn consequence(&self) -> String {
        let path = self.path.display();
        match self.is_first {
            true => format!(
                "`{path}` names nginx's logs too, and logrotate reads it first: it passes over `{OWN}`, so \
                 the variable `logrotate` has no effect until nginx's logs are taken out of that file"
            ),
            false => format!(
                "`{path}` names nginx's logs too, and logrotate reads it last: it passes over all of that \
                 file until nginx's logs are taken out of it"
            ),
        }
    }
}

/// Whether the logs of nginx rotate, as logrotate itself says.
async fn rotation(host: &Host) -> Result<String> {
    let output = host.output("logrotate", &["--debug", MAIN]).await?;
    let told = String::from_utf8_lossy(&output.stderr);
    match error_of_own(&told) {
        None => Ok("nginx's logs rotate".to_owned()),
        Some(error) => match foreign(host).into_iter().find(|foreign| foreign.is_first) {
            Some(foreign) => bail!("{error}; `{}` names the same logs", foreign.path.display()),
            None => bail!("{error}"),
        },
    }
}

/// Logs that do not rotate fill the disk some day, and are kept for longer than they should be.
async fn wrong_rotation(host: &Host) -> Option<Finding> {
    let error = rotation(host).await.err()?;
    let next = match foreign(host).into_iter().find(|foreign| foreign.is_first) {
        Some(foreign) => format!(
            "remove `{}`, or take nginx's logs out of it: hwctl's rotation is in \
             `/etc/logrotate.d/nginx` and follows the variable `logrotate`",
            foreign.path.display()
        ),
        None => "`logrotate --debug /etc/logrotate.conf` on the host has the rest".to_owned(),
    };
    let finding = Finding::new("log-rotation", "nginx's logs do not rotate");
    Some(finding.evidence([format!("{error:#}")]).next(next))
}

/// What logrotate says of nginx's logs, if it is an error. A duplicate in another file is that file's loss.
fn error_of_own(told: &str) -> Option<&str> {
    let errors = told.lines().filter_map(|line| line.strip_prefix("error: "));
    errors.into_iter().find(|error| {
        let is_duplicate = error.contains("duplicate log entry");
        error.starts_with("nginx:") || (error.contains(LOGS) && !is_duplicate)
    })
}

/// The files of others that name nginx's logs, in the order in which logrotate reads them.
fn foreign(host: &Host) -> Vec<Foreign> {
    let mut paths: Vec<PathBuf> = fs::read_dir(host.path(Path::new(FOLDER)))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| Path::new(FOLDER).join(entry.file_name()))
        .collect();
    paths.sort();
    // What the main file says itself comes after the folder that it includes, as packaged.
    paths.push(MAIN.into());
    let is_foreign = |path: &PathBuf| {
        let name = path.to_string_lossy();
        path != Path::new(OWN) && !IGNORED.iter().any(|ending| name.ends_with(ending))
    };
    let found = paths.into_iter().filter(is_foreign).filter(|path| {
        fs::read_to_string(host.path(path)).is_ok_and(|text| names_logs_of_nginx(&text))
    });
    found
        .map(|path| Foreign {
            is_first: path.starts_with(FOLDER) && path.as_path() < Path::new(OWN),
            path,
        })
        .collect()
}

/// Whether a configuration of logrotate is about logs of nginx.
fn names_logs_of_nginx(text: &str) -> bool {
    patterns(text).iter().any(|pattern| {
        SAMPLES.iter().any(|name| fits(pattern.as_bytes(), format!("{LOGS}/{name}").as_bytes()))
    })
}

/// The patterns before each block of a configuration.
fn patterns(text: &str) -> Vec<String> {
    let mut patterns = Vec::new();
    let (mut in_block, mut in_script) = (false, false);
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let first = line.split_whitespace().next().unwrap_or_default();
        if in_script {
            in_script = first != "endscript";
        } else if SCRIPTS.contains(&first) {
            in_script = true;
        } else if in_block {
            in_block = !line.contains('}');
        } else {
            let (before, opens) = match line.split_once('{') {
                Some((before, after)) => (before, !after.contains('}')),
                None => (line, false),
            };
            in_block = opens;
            let words = before.split_whitespace().map(|word| word.trim_matches(['"', '\'']));
            patterns.extend(words.filter(|word| word.starts_with('/')).map(str::to_owned));
        }
    }
    patterns
}

/// Whether a path fits a pattern with `*`, `?` and `[…]`. A `*` stays within its folder.
fn fits(pattern: &[u8], path: &[u8]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            fits(rest, path)
                || path
                    .split_first()
                    .is_some_and(|(next, left)| *next != b'/' && fits(pattern, left))
        }
        ([b'?', rest @ ..], [next, left @ ..]) => *next != b'/' && fits(rest, left),
        ([b'[', rest @ ..], [next, left @ ..]) => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
            let (set, rest) = (&rest[..end], &rest[end + 1..]);
            is_in(set, *next) && fits(rest, left)
        }
        ([wanted, rest @ ..], [next, left @ ..]) => wanted == next && fits(rest, left),
        _ => false,
    }
}

/// Whether a byte is in a set such as `a-z` or `!0-9`.
fn is_in(set: &[u8], byte: u8) -> bool {
    let (negated, mut set) = match set {
        [b'!' | b'^', rest @ ..] => (true, rest),
        set => (false, set),
    };
    let mut found = false;
    while let [first, rest @ ..] = set {
        let (last, left) = match rest {
            [b'-', last, left @ ..] => (last, left),
            left => (first, left),
        };
        found |= (*first..=*last).contains(&byte);
        set = left;
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_about_the_logs_of_nginx_count() {
        let told = "reading config file nginx\n\
                    error: other:3 unknown option 'x' -- ignoring line\n\
                    error: nginx:2 duplicate log entry for /var/log/nginx/access.log\n\
                    error: found error in file nginx, skipping\n";

        assert_eq!(
            error_of_own(told),
            Some("nginx:2 duplicate log entry for /var/log/nginx/access.log")
        );
        assert_eq!(error_of_own("error: other:3 unknown option\n"), None);
        let of_others = "error: zz:1 duplicate log entry for /var/log/nginx/access.log\n";
        assert_eq!(error_of_own(of_others), None, "it is the other file that does not count");
    }

    #[test]
    fn a_file_is_foreign_by_the_logs_that_its_blocks_name() {
        let block = "{\n  weekly\n  postrotate\n    if [ -f /var/log/nginx/error.log ]; then { true; }; fi\n  endscript\n}\n";
        for logs in [
            "/var/log/nginx/*.log",
            "\"/var/log/nginx/access.log\"",
            "/var/log/*/*.log",
            "/var/log/app.log\n/var/log/nginx/[a-e]*.log",
            "/var/log/app.log /var/log/nginx/error.log",
            "/var/log/ngin?/main_access.log",
        ] {
            assert!(names_logs_of_nginx(&format!("compress\n{logs} {block}")), "{logs}");
        }
        for logs in [
            "/var/log/*.log",
            "/var/log/nginx-proxy/*.log",
            "/var/log/nginx/*.gz",
            "# /var/log/nginx/*.log\n/var/log/app.log",
            "/var/log/app/[!a-z].log",
        ] {
            assert!(
                !names_logs_of_nginx(&format!("{logs} {block}/var/log/b {{\n daily\n}}\n")),
                "{logs}"
            );
        }
    }

    #[test]
    fn the_first_file_of_the_same_logs_counts() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("etc/logrotate.d");
        fs::create_dir_all(&folder).unwrap();
        for name in ["app-nginx", "nginx", "old.dpkg-old", "zz"] {
            fs::write(folder.join(name), "/var/log/nginx/*.log {\n}\n").unwrap();
        }
        let no_blobs = Box::new(|_: &crate::resource::Blob| anyhow::bail!("no blobs"));
        let host = Host::new(root.path(), no_blobs, Box::new(|_| {}));

        let found: Vec<_> =
            foreign(&host).into_iter().map(|found| (found.path, found.is_first)).collect();

        let expected = [("/etc/logrotate.d/app-nginx", true), ("/etc/logrotate.d/zz", false)];
        assert_eq!(found, expected.map(|(path, is_first)| (path.into(), is_first)));
    }
}
