//! ufw on the host: its files, what of them is in the kernel, and loading them.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::guard::Guard;
use super::kernel::{Listing, listing};
use super::rules::{Family, RuleFile};
use crate::resource::host::Host;
use crate::resource::host::fs::write_atomic;
use crate::resource::host::path_state::PathState;
use crate::resource::model::profile::Undo;

const PROGRAM: &str = "/usr/sbin/ufw";
const FOLDER: &str = "/etc/ufw";
const CONF: &str = "/etc/ufw/ufw.conf";
const DEFAULTS: &str = "/etc/default/ufw";
/// What it loads after its own rules, among it those of Docker's chain.
const AFTER: [&str; 2] = ["/etc/ufw/after.rules", "/etc/ufw/after6.rules"];
/// The name that the digest of the inputs is kept by.
pub(super) const LOADED_WITH: &str = "firewall";
const POLICY: &str = "DEFAULT_INPUT_POLICY";

/// ufw as it is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ufw {
    conf: PathState,
    defaults: PathState,
    rules4: PathState,
    rules6: PathState,
    /// Whether its chains are in the kernel at all.
    running: bool,
    /// Whether its chains are in the kernel without a rule that leads to them. Another program, or
    /// `iptables -F INPUT`, took that rule away.
    #[serde(default)]
    detached: bool,
    /// Whether the kernel has what the files say.
    pub(super) loaded: bool,
    /// The digest of the inputs that it was last loaded with.
    #[serde(rename = "stamp")]
    pub(super) loaded_with: Option<String>,
    /// The chain that Docker leaves to the host's owner. Loading the inputs replaces its rules.
    #[serde(default)]
    pub(super) guard: Guard,
}

/// The rules of IPv4.
pub(super) const RULES: &str = "/etc/ufw/user.rules";

fn rules_path(family: Family) -> &'static Path {
    Path::new(match family {
        Family::V4 => RULES,
        Family::V6 => "/etc/ufw/user6.rules",
    })
}

impl Ufw {
    /// What the host has; `None` when ufw is not installed.
    pub(super) async fn read(host: &Host) -> Result<Option<Self>> {
        if !host.path(Path::new(PROGRAM)).try_exists()? {
            return Ok(None);
        }
        let mut ufw = Self {
            conf: PathState::read_whole(&host.path(Path::new(CONF)), host)?,
            defaults: PathState::read_whole(&host.path(Path::new(DEFAULTS)), host)?,
            rules4: read_rules(Family::V4, host)?,
            rules6: read_rules(Family::V6, host)?,
            running: false,
            detached: false,
            loaded: false,
            guard: Guard::default(),
            loaded_with: match PathState::read_whole(&host.kept_path(LOADED_WITH), host)? {
                PathState::File { bytes, .. } => Some(String::from_utf8_lossy(&bytes).into_owned()),
                _ => None,
            },
        };
        let listing = listing(host).await?;
        ufw.guard = Guard::of(&listing);
        let Listing { v4, v6, .. } = listing;
        ufw.running = v4.contains("-N ufw-user-input\n");
        let leads = |listing: &str, family: Family| {
            let before = family.input_chain().replace("user", "before");
            listing.lines().any(|line| line == format!("-A INPUT -j {before}"))
        };
        // A host without IPv6 has nothing to load there.
        let has_v6 = ufw.has_ipv6() && !v6.is_empty();
        ufw.detached =
            ufw.running && (!leads(&v4, Family::V4) || has_v6 && !leads(&v6, Family::V6));
        let [after4, after6] = AFTER.map(|path| own_block(&host.path(Path::new(path))));
        ufw.loaded = ufw.running
            && ufw.is_in(&v4, Family::V4)?
            && (!has_v6 || ufw.is_in(&v6, Family::V6)?)
            && ufw.guard.holds(&after4, &after6, has_v6);
        Ok(Some(ufw))
    }

    /// Whether the kernel has the policy, the way to the rules, and the rules of the file.
    fn is_in(&self, kernel: &str, family: Family) -> Result<bool> {
        let chain = family.input_chain();
        let before = chain.replace("user", "before");
        let policy = if self.incoming() == "allow" { "ACCEPT" } else { "DROP" };
        let file = self.rules(family)?;
        Ok(has_all(
            kernel,
            &file,
            chain,
            &[
                format!("-P INPUT {policy}"),
                format!("-A INPUT -j {before}"),
                format!("-A {before} -j {chain}"),
            ],
        ))
    }

    pub(super) fn is_enabled(&self) -> bool {
        setting(&self.conf, "ENABLED").is_some_and(|value| value.eq_ignore_ascii_case("yes"))
    }

    /// Whether it keeps closed now what no rule opens.
    pub(super) fn is_filtering(&self) -> bool {
        self.running && self.is_enabled() && self.incoming() != "allow"
    }

    pub(super) fn has_ipv6(&self) -> bool {
        setting(&self.defaults, "IPV6").is_some_and(|value| value.eq_ignore_ascii_case("yes"))
    }

    /// The default for what no rule is about, in the words of ufw's commands.
    pub(super) fn incoming(&self) -> String {
        match setting(&self.defaults, POLICY).unwrap_or_default().as_str() {
            "ACCEPT" => "allow".to_owned(),
            "DROP" => "deny".to_owned(),
            other => other.to_lowercase(),
        }
    }

    fn file(&self, family: Family) -> &PathState {
        match family {
            Family::V4 => &self.rules4,
            Family::V6 => &self.rules6,
        }
    }

    pub(super) fn has_rules(&self, family: Family) -> bool {
        *self.file(family) != PathState::Absent
    }

    /// Whether it filters, for both families, and its rules are in the kernel.
    pub(super) fn is_as_declared(&self) -> bool {
        self.loaded && self.is_enabled() && self.has_ipv6() && self.incoming() == "deny"
    }

    pub(super) fn rules(&self, family: Family) -> Result<RuleFile> {
        let path = rules_path(family).display();
        RuleFile::parse(&text(self.file(family))).with_context(|| format!("read `{path}`"))
    }

    pub(super) fn write_rules(&self, family: Family, file: &RuleFile, host: &Host) -> Result<()> {
        let path = host.path(rules_path(family));
        replace(&path, self.file(family), &file.text(), 0o640, host)
    }

    /// Denies what no rule is about, for both families.
    pub(super) fn write_defaults(&self, host: &Host) -> Result<()> {
        let old = text(&self.defaults);
        let mut new = old.clone();
        if self.incoming() != "deny" {
            new = with_setting(&new, POLICY, "\"DROP\"");
        }
        if !self.has_ipv6() {
            new = with_setting(&new, "IPV6", "yes");
        }
        if new == old {
            return Ok(());
        }
        replace(&host.path(Path::new(DEFAULTS)), &self.defaults, &new, 0o644, host)
    }

    /// This earlier state with the rules that others have made or removed since.
    pub(super) fn with_rules_of_others(&self, now: &Self, exclusive: bool) -> Result<Self> {
        let merged = |family| {
            let rules = self.rules(family)?.with_others(&now.rules(family)?, exclusive, family);
            anyhow::Ok(with_text(self.file(family), &rules.text()))
        };
        let (rules4, rules6) = (merged(Family::V4)?, merged(Family::V6)?);
        Ok(Self { rules4, rules6, ..self.clone() })
    }

    /// What [`Self::leave`] leaves of it.
    pub(super) fn left(&self) -> Result<Self> {
        let without = |family| {
            anyhow::Ok(with_text(self.file(family), &self.rules(family)?.without_own().text()))
        };
        let conf = with_text(&self.conf, &with_setting(&text(&self.conf), "ENABLED", "no"));
        let (rules4, rules6) = (without(Family::V4)?, without(Family::V6)?);
        Ok(Self { conf, rules4, rules6, ..self.clone() })
    }

    /// Enables it and loads its files. ufw itself writes the rest of them.
    pub(super) async fn load(&self, host: &Host) -> Result<()> {
        if self.detached {
            // ufw itself would only set the policy, which closes every port.
            attach(host).await?;
        }
        if !self.is_enabled() || !self.running {
            host.run("ufw", &["--force", "enable"]).await.context("enable the firewall")?;
        }
        // Where its chains were there before, `enable` leaves them as they are.
        if self.running {
            reload_firewall(host).await?;
        }
        host.forget();
        Ok(())
    }

    /// Brings back this state from another.
    pub(super) async fn restore(&self, now: &Self, host: &Host) -> Result<()> {
        // One whose rules nothing led to filtered nothing.
        let was_filtering = self.running && !self.detached;
        if now.running && !was_filtering {
            disable(host).await?;
        }
        self.restore_files(host)?;
        if was_filtering {
            if now.detached {
                attach(host).await?;
            }
            let verb: &[&str] = if now.running { &["reload"] } else { &["--force", "enable"] };
            host.run("ufw", verb).await.context("load the firewall's rules of before")?;
            // ufw writes its files when it loads them.
            self.restore_files(host)?;
        }
        // ufw neither empties the chain nor knows what was in it.
        self.guard.restore(host).await?;
        host.forget();
        Ok(())
    }

    fn restore_files(&self, host: &Host) -> Result<()> {
        self.conf.restore(&host.path(Path::new(CONF)), host)?;
        self.defaults.restore(&host.path(Path::new(DEFAULTS)), host)?;
        self.rules4.restore(&host.path(rules_path(Family::V4)), host)?;
        self.rules6.restore(&host.path(rules_path(Family::V6)), host)?;
        let kept = host.kept_path(LOADED_WITH);
        match &self.loaded_with {
            // A run that a full disk has ended changed nothing here, and this could not be written again.
            Some(digest) if std::fs::read(&kept).is_ok_and(|kept| kept == digest.as_bytes()) => {
                Ok(())
            }
            Some(digest) => write_atomic(&kept, digest.as_bytes(), 0o600, None),
            None => PathState::Absent.restore(&kept, host),
        }
    }

    /// Stops it and takes out hwctl's rules, for a host that did not have it.
    pub(super) async fn leave(&self, host: &Host) -> Result<()> {
        disable(host).await?;
        for family in [Family::V4, Family::V6] {
            if self.has_rules(family) {
                self.write_rules(family, &self.rules(family)?.without_own(), host)?;
            }
        }
        Guard::default().restore(host).await?;
        host.forget();
        PathState::Absent.restore(&host.kept_path(LOADED_WITH), host)
    }
}

/// Loads the firewall's files anew, on a host that has the firewall.
pub async fn reload_firewall(host: &Host) -> Result<()> {
    if !host.path(Path::new(PROGRAM)).exists() {
        return Ok(());
    }
    host.run("ufw", &["reload"]).await.map(drop).context("load the firewall's rules")
}

/// When a file at a path is taken back.
pub(in crate::resource) fn undo_of_file(path: &Path) -> Undo {
    if path.starts_with(FOLDER) { Undo::FirewallFile } else { Undo::Setting }
}

/// Takes its rules out of the kernel and lets everything in.
async fn disable(host: &Host) -> Result<()> {
    host.run("ufw", &["--force", "disable"]).await.map(drop).context("disable the firewall")
}

/// Leads the kernel's chains to those of ufw, as ufw does when it makes its chains, and only then.
async fn attach(host: &Host) -> Result<()> {
    const PARTS: [&str; 6] =
        ["before-logging", "before", "after", "after-logging", "reject", "track"];
    let Listing { v4, v6, .. } = listing(host).await?;
    for (program, listing, kind) in [("iptables", v4, "ufw"), ("ip6tables", v6, "ufw6")] {
        for (chain, direction) in [("INPUT", "input"), ("OUTPUT", "output"), ("FORWARD", "forward")]
        {
            let ways = PARTS.map(|part| format!("{kind}-{part}-{direction}"));
            let is_there = |way: &&String| listing.contains(&format!("-A {chain} -j {way}\n"));
            let exists = |way: &String| listing.contains(&format!("-N {way}\n"));
            if ways.iter().all(|way| is_there(&way)) || !ways.iter().all(exists) {
                continue;
            }
            // Their order counts.
            for way in ways.iter().filter(is_there) {
                host.run(program, &["-w", "-D", chain, "-j", way]).await?;
            }
            for way in &ways {
                host.run(program, &["-w", "-A", chain, "-j", way]).await?;
            }
        }
    }
    host.forget();
    Ok(())
}

/// The file of rules, or as the package brings it when it is not there.
fn read_rules(family: Family, host: &Host) -> Result<PathState> {
    let live = PathState::read_whole(&host.path(rules_path(family)), host)?;
    if live != PathState::Absent {
        return Ok(live);
    }
    let name = rules_path(family).file_name().unwrap_or_default();
    PathState::read_whole(&host.path(&Path::new("/usr/share/ufw/iptables").join(name)), host)
}

/// Whether the listing has these lines, as many rules of the chain as the file, and those of the
/// file's rules that iptables lists as they are written.
pub(super) fn has_all(kernel: &str, file: &RuleFile, chain: &str, fixed: &[String]) -> bool {
    let lines: Vec<String> =
        kernel.lines().map(|line| line.replace(" -m tcp", "").replace(" -m udp", "")).collect();
    let prefix = format!("-A {chain} ");
    let of_chain = lines.iter().filter(|line| line.starts_with(&prefix)).count();
    let mut wanted = file.rules.iter().flat_map(|rule| &rule.lines);
    let count = wanted.clone().filter(|line| line.starts_with(&prefix)).count();
    let is_plain = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        matches!(words[..], ["-A", _, "-p", _, "--dport", _, "-j", "ACCEPT" | "DROP"])
    };
    fixed.iter().all(|line| lines.contains(line))
        && of_chain == count
        && wanted.all(|line| !is_plain(line) || lines.contains(line))
}

/// What hwctl has put into a file; nothing where it cannot be read.
fn own_block(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let block =
        text.split_once("# BEGIN hwctl\n").and_then(|(_, rest)| rest.split_once("# END hwctl"));
    block.map(|(block, _)| block.to_owned()).unwrap_or_default()
}

fn text(file: &PathState) -> String {
    String::from_utf8_lossy(file.bytes().unwrap_or_default()).into_owned()
}

/// A file with another text.
fn with_text(file: &PathState, text: &str) -> PathState {
    file.with_bytes(text.into())
}

/// Writes a file with the mode, owner and attributes that it has.
fn replace(path: &Path, old: &PathState, new: &str, mode: u32, host: &Host) -> Result<()> {
    match old {
        PathState::File { .. } => with_text(old, new).restore(path, host),
        _ => write_atomic(path, new.as_bytes(), mode, Some((0, 0))),
    }
}

/// A variable of a file that the shell reads.
fn setting(file: &PathState, name: &str) -> Option<String> {
    let text = text(file);
    let value =
        text.lines().rev().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

/// The text with another value of a variable, at its place or at the end.
fn with_setting(text: &str, name: &str, value: &str) -> String {
    let is_it =
        |line: &str| line.trim().strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
    let line = format!("{name}={value}");
    let mut lines: Vec<&str> =
        text.lines().map(|old| if is_it(old) { &line } else { old }).collect();
    if !text.lines().any(is_it) {
        lines.push(&line);
    }
    lines.join("\n") + "\n"
}
