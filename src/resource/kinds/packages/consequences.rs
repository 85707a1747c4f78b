//! What apt would do besides installing what is asked for, as a simulation of it says.

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

use super::simulation::simulate;
use crate::resource::host::Host;
use crate::resource::model::change::Change;
use crate::resource::model::hint::Advise;

/// What an installation changes of other packages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Consequences {
    /// Packages that would go.
    removed: Vec<String>,
    /// Packages that come along.
    added: Vec<String>,
    /// Packages that get another version: name, version now, version then.
    changed: Vec<(String, String, String)>,
    /// Packages that apt does not know, or knows no version of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<String>,
}

impl Consequences {
    /// Simulates an installation. Returns none where apt does not know the packages yet, as on a
    /// host whose lists were never fetched.
    pub(super) async fn of(wanted: &[&str], host: &Host) -> Result<Option<Self>> {
        let install = ["install", "--no-install-recommends"];
        let told = match simulate(host, install.iter().chain(wanted)).await? {
            Ok(told) => return Ok(Some(Self::read(&told, wanted))),
            Err(told) => told,
        };
        // The last lines of apt's errors, joined.
        let unknown: Vec<_> = told.split(" | ").filter_map(unknown_in).map(str::to_owned).collect();
        Ok((!unknown.is_empty()).then(|| Self { unknown, ..Self::default() }))
    }

    /// Reads lines such as `Inst libc6 [2.41-11] (2.41-12 Debian:13 [amd64])` and
    /// `Remv docker-ce [28.1]`.
    fn read(told: &str, wanted: &[&str]) -> Self {
        let mut found = Self::default();
        for line in told.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("Remv"), Some(name)) => found.removed.push(name.to_owned()),
                (Some("Inst"), Some(name)) => {
                    let next = words.next().unwrap_or_default();
                    match next.strip_prefix('[').and_then(|old| old.strip_suffix(']')) {
                        Some(old) => {
                            let new = words.next().unwrap_or_default().trim_start_matches('(');
                            found.changed.push((name.to_owned(), old.to_owned(), new.to_owned()));
                        }
                        None if wanted.contains(&name) => {}
                        None => found.added.push(name.to_owned()),
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// Refuses packages that apt does not know, where its lists are new enough to say so.
    pub(super) fn require_known(&self) -> Result<()> {
        if self.unknown.is_empty() {
            return Ok(());
        }
        let names = self.unknown.join("`, `");
        Err(anyhow!("apt knows no package `{names}`"))
            .hint(format!("`apt-cache search {}` on the host finds names like it", self.unknown[0]))
    }

    /// Refuses an installation for which others' packages would go.
    pub(super) fn require_no_removal(&self) -> Result<()> {
        if self.removed.is_empty() {
            return Ok(());
        }
        let names = self.removed.join(" ");
        Err(anyhow!("apt would remove `{names}` to install what is missing")).hint(format!(
            "if nothing needs them any more, remove them yourself: `apt-get remove {names}`"
        ))
    }

    /// Adds to a change what comes along.
    pub(super) fn shown(&self, mut change: Change) -> Change {
        if !self.added.is_empty() {
            let with = Some(self.added.join(" "));
            change = change.attribute("brings along", None, with);
        }
        for (name, old, new) in &self.changed {
            change = change.attribute(name, Some(old.clone()), Some(new.clone()));
        }
        change
    }
}

/// The package of a line such as `E: Unable to locate package nosuch` or `E: Package 'x' has no installation candidate`.
fn unknown_in(line: &str) -> Option<&str> {
    let message = line.strip_prefix("E: ")?;
    let quoted =
        || message.strip_prefix("Package '")?.strip_suffix("' has no installation candidate");
    message.strip_prefix("Unable to locate package ").or_else(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_packages_are_read() {
        assert_eq!(unknown_in("E: Unable to locate package nosuch"), Some("nosuch"));
        assert_eq!(unknown_in("E: Package 'old' has no installation candidate"), Some("old"));
        assert_eq!(unknown_in("E: Couldn't find any package by glob 'a*'"), None);
    }

    const TOLD: &str = "Reading package lists...\n\
        Remv docker-ce [5:28.1-1] [containerd.io:amd64 ]\n\
        Inst libssl3 [3.0.1] (3.0.2 Debian:12 [amd64])\n\
        Inst runc (1.1 Debian:12 [amd64])\n\
        Inst docker.io (26 Debian:12 [amd64])\n\
        Conf runc (1.1 Debian:12 [amd64])\n";

    #[test]
    fn all_that_apt_would_do_is_read() {
        let found = Consequences::read(TOLD, &["docker.io"]);

        assert_eq!(found.removed, ["docker-ce"]);
        assert_eq!(found.added, ["runc"]);
        let changed = ("libssl3".to_owned(), "3.0.1".to_owned(), "3.0.2".to_owned());
        assert_eq!(found.changed, [changed]);
    }

    #[test]
    fn a_removal_is_refused_with_its_names() {
        let error = Consequences::read(TOLD, &[]).require_no_removal().unwrap_err();

        assert!(format!("{error:#}").contains("`docker-ce`"), "{error:#}");
        assert!(Consequences::default().require_no_removal().is_ok());
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_simulation_is_read(text in crate::damaged::text(&[TOLD])) {
            let found = Consequences::read(&text, &["docker.io"]);
            let _ = found.require_no_removal();
            found.shown(Change::new(crate::resource::Id::new("packages", "apt"), crate::resource::Action::Create));
        }
    }
}
