//! The file of a reviewed plan: JSON with the plans of all hosts and one digest over them.

use std::io::{Read as _, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::HostPlan;
use crate::command::fleet::hosts::Work;
use crate::command::private_file;
use crate::failure::{Exit, Failure, Page};
use crate::inventory::require_own;
use crate::report::json_text;
use crate::resource::sha256;
use crate::spec::Scope;

/// The number of the format. A change of what a digest is taken of needs another one, too.
const FORMAT: u64 = 2;
/// The most bytes that are read of a file: the plans of thousands of hosts.
const MAX_BYTES: u64 = 256 << 20;
/// The field that holds it, and that tells the file from others.
const FORMAT_FIELD: &str = "hwctl_plan";

/// The plans of some hosts, as they are reviewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::command) struct ReviewedPlan {
    #[serde(rename = "hwctl_plan")]
    format: u64,
    /// hwctl's version.
    version: String,
    /// SHA-256, in hex, of the format, the version, the scope and the hosts.
    digest: String,
    /// The parts that are meant.
    scope: Scope,
    /// By name.
    hosts: Vec<HostPlan>,
}

impl ReviewedPlan {
    /// The plans of these hosts, made by this hwctl.
    pub(in crate::command) fn new(scope: Scope, mut hosts: Vec<HostPlan>) -> Self {
        let scope = in_order(scope);
        hosts.sort_by(|one, other| one.name.cmp(&other.name));
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let digest = digest(&version, &scope, &hosts);
        Self { format: FORMAT, version, digest, scope, hosts }
    }

    /// Reads a plan, and refuses what is none or is damaged.
    pub(in crate::command) fn read(path: &Path) -> Result<Self, Failure> {
        let name = path.display();
        let refused = |what: String| {
            Failure::usage(what).not_done("no host was contacted").page(Page::Review)
        };
        require_own(path)?;
        let unreadable = |why: String| refused(format!("cannot read the plan `{name}`")).why(why);
        let mut bytes = Vec::new();
        let mut read = || {
            let file = std::fs::File::open(path)?;
            if !file.metadata()?.is_file() {
                return Err(std::io::Error::other("it is not a regular file"));
            }
            file.take(MAX_BYTES + 1).read_to_end(&mut bytes)
        };
        read().map_err(|error| unreadable(error.to_string()))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(unreadable(format!("it is larger than {} MiB", MAX_BYTES >> 20)));
        }
        let foreign = || {
            refused(format!("`{name}` is not a plan of hwctl"))
                .hint("`hwctl plan --out FILE` writes one")
        };
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| foreign())?;
        match value.get(FORMAT_FIELD).map(Value::as_u64) {
            None => return Err(foreign()),
            Some(Some(FORMAT)) => {}
            Some(_) => {
                let format = &value[FORMAT_FIELD];
                return Err(refused(format!("`{name}` is a plan of format {format}"))
                    .why(format!("this hwctl reads format {FORMAT}"))
                    .hint("make a new plan with this hwctl and have it reviewed"));
            }
        }
        let damaged = |why: String| {
            refused(format!("the plan `{name}` is damaged"))
                .why(why)
                .hint("make a new plan and have it reviewed")
        };
        let plan: Self =
            serde_json::from_value(value).map_err(|error| damaged(error.to_string()))?;
        if digest(&plan.version, &plan.scope, &plan.hosts) != plan.digest {
            return Err(damaged("its digest is not that of its content".to_owned()));
        }
        Ok(plan)
    }

    /// Writes the plan for its owner alone, whole or not at all.
    pub(in crate::command) fn write(&self, path: &Path) -> Result<(), Failure> {
        let written = serde_json::to_string_pretty(self).map_err(Into::into).and_then(|text| {
            private_file::write(path, |file| writeln!(file, "{}", json_text(&text)))
        });
        written.map_err(|error: anyhow::Error| {
            Failure::new(Exit::Failed, format!("cannot write the plan `{}`", path.display()))
                .why(format!("{error:#}"))
                .not_done("nothing was changed on any host")
        })
    }

    pub(in crate::command) fn digest(&self) -> &str {
        &self.digest
    }

    /// Refuses a plan with another digest than the one that is expected, if one is.
    pub(in crate::command) fn require_digest(
        &self,
        path: &Path,
        expected: Option<&str>,
    ) -> Result<(), Failure> {
        match expected {
            Some(expected) if expected != self.digest => {
                let what = format!("the plan `{}` is not the one that is expected", path.display());
                Err(Failure::usage(what)
                    .why(format!("its digest is {}, not {expected}", self.digest))
                    .not_done("no host was contacted"))
            }
            _ => Ok(()),
        }
    }

    /// The version of hwctl that made the plan.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// The plan of the host with this name.
    pub(super) fn host(&self, name: &str) -> Option<&HostPlan> {
        self.hosts.iter().find(|host| host.name == name)
    }

    /// Refuses hosts and parts that the plan is not for.
    pub(super) fn require(
        &self,
        path: &Path,
        scope: &Scope,
        works: &[Work],
    ) -> Result<(), Failure> {
        let name = path.display();
        let refused = |what: String| {
            Failure::usage(what).not_done("no host was contacted").page(Page::Review)
        };
        if in_order(scope.clone()) != self.scope {
            return Err(refused(format!("the plan `{name}` is for {}", words(&self.scope)))
                .why(format!("this run is for {}", words(scope)))
                .hint("give the same `--only` and `--skip` to both commands"));
        }
        for target in works.iter().map(|work| &work.target) {
            let Some(planned) = self.host(&target.name) else {
                let names: Vec<_> = self.hosts.iter().map(|host| host.name.as_str()).collect();
                return Err(refused(format!("the plan `{name}` has no host `{}`", target.name))
                    .hint(format!(
                        "its hosts are {}: name them with `--limit`",
                        names.join(", ")
                    )));
            };
            if planned.address != target.address {
                let (then, now) = (&planned.address, &target.address);
                return Err(refused(format!("the plan `{name}` is for another `{}`", target.name))
                    .why(format!("its address was {then}, and is now {now}"))
                    .hint("make a new plan and have it reviewed"));
            }
        }
        Ok(())
    }
}

/// The digest of the plans of all hosts, which are in order, as this version of hwctl made them.
fn digest(version: &str, scope: &Scope, hosts: &[HostPlan]) -> String {
    // Maps with text for keys and no numbers but sizes: JSON has one text for each value.
    let text = serde_json::to_string(&(FORMAT, version, scope, hosts)).unwrap_or_default();
    sha256(text.as_bytes())
}

/// The same scope, however its parts were named.
fn in_order(scope: Scope) -> Scope {
    let sorted = |mut parts: Vec<String>| {
        parts.sort();
        parts.dedup();
        parts
    };
    match scope {
        Scope::All => Scope::All,
        Scope::Only(parts) => Scope::Only(sorted(parts)),
        Scope::Except(parts) => Scope::Except(sorted(parts)),
    }
}

fn words(scope: &Scope) -> String {
    match scope {
        Scope::All => "all parts".to_owned(),
        Scope::Only(parts) => format!("`--only {}`", parts.join(",")),
        Scope::Except(parts) => format!("`--skip {}`", parts.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::command::review::SealedChange;
    use crate::event::{Action, Change, Id, Planned};

    fn plan() -> ReviewedPlan {
        let change = Change::new(Id::new("file", "/etc/motd"), Action::Update).attribute(
            "mode",
            None,
            Some("0644".to_owned()),
        );
        let planned = Planned { tag: "host".to_owned(), change };
        let changes = vec![SealedChange { planned, seal: "5ea1".to_owned() }];
        let host = |name: &str| HostPlan {
            name: name.to_owned(),
            address: "192.0.2.1".to_owned(),
            changes: changes.clone(),
        };
        ReviewedPlan::new(Scope::Only(vec!["b".into(), "a".into()]), vec![host("y"), host("x")])
    }

    fn read(text: &str) -> Result<ReviewedPlan, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        std::fs::write(&path, text).unwrap();
        ReviewedPlan::read(&path)
    }

    #[test]
    fn a_plan_is_read_as_it_was_written_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");

        plan().write(&path).unwrap();

        assert_eq!(ReviewedPlan::read(&path).unwrap(), plan());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn foreign_stale_and_damaged_files_are_refused_with_exit_code_2() {
        let text = serde_json::to_string(&plan()).unwrap();
        let format_of = |number: u64| {
            text.replace(&format!("\"hwctl_plan\":{FORMAT}"), &format!("\"hwctl_plan\":{number}"))
        };
        let (earlier_format, next_format) = (format_of(FORMAT - 1), format_of(FORMAT + 1));
        let other_version = text.replace(env!("CARGO_PKG_VERSION"), "9.9.9");
        let edited = text.replace("/etc/motd", "/etc/mots");
        let cut = text.replace("\"changes\"", "\"chances\"");

        for (text, message) in [
            ("", "is not a plan of hwctl"),
            ("{\"a\": 1}", "is not a plan of hwctl"),
            (&earlier_format, "is a plan of format 1"),
            (&next_format, "is a plan of format 3"),
            (&other_version, "is damaged"),
            (&edited, "is damaged"),
            (&cut, "is damaged"),
        ] {
            let failure = read(text).unwrap_err();

            assert!(failure.what.contains(message), "{failure:?}");
            assert_eq!(failure.exit, Exit::Usage);
        }
    }

    #[test]
    fn the_digest_depends_on_neither_the_order_of_hosts_nor_that_of_parts() {
        let mut hosts = plan().hosts;
        hosts.reverse();
        let scope = Scope::Only(vec!["a".into(), "b".into(), "a".into()]);

        let same = ReviewedPlan::new(scope, hosts.clone());
        let other_scope = ReviewedPlan::new(Scope::All, hosts.clone());
        hosts[0].changes[0].seal = "0the7".to_owned();
        let other_seal = ReviewedPlan::new(plan().scope, hosts);

        assert_eq!(same.digest(), plan().digest());
        assert_ne!(other_scope.digest(), plan().digest());
        assert_ne!(other_seal.digest(), plan().digest());
    }
}
