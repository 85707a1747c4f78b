//! How a host is reached: what hwctl obeys of Ansible's `ansible_*` variables, and what it refuses.

use std::path::{Path, PathBuf};

use super::arguments;
use super::config::home;
use super::escalation::{self, Escalation};
use super::world::HostVars;
use crate::failure::Page;
use crate::inventory::Warning;
use crate::inventory::names::{shown, usable};
use crate::inventory::yaml::node::{Entry, Node, Value};
use crate::inventory::yaml::problem::Problem;

/// Variables that say how to connect; in each pair Ansible's ssh lets the second win.
const USED: [&str; 8] = [
    "ansible_host",
    "ansible_ssh_host",
    "ansible_user",
    "ansible_ssh_user",
    "ansible_port",
    "ansible_ssh_port",
    "ansible_private_key_file",
    "ansible_ssh_private_key_file",
];

/// Variables with arguments of ssh, in Ansible's order. hwctl passes them on.
const ARGUMENTS: [&str; 3] =
    ["ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args"];

/// Variables that would have Ansible reach a host in a way that hwctl has not, the values that
/// change nothing, and what to do instead. With any other value the host is refused.
const REFUSED: [(&str, &[&str], &str); 9] = [
    (
        CONNECTION,
        KNOWN,
        "hwctl reaches hosts by ssh, or is on them: leave this host out with `--limit`",
    ),
    ("ansible_password", &[], BY_KEY),
    ("ansible_ssh_pass", &[], BY_KEY),
    ("ansible_ssh_password", &[], BY_KEY),
    (
        "ansible_ssh_executable",
        &["ssh", "/usr/bin/ssh"],
        "hwctl runs the `ssh` on your PATH: put yours first there",
    ),
    ("ansible_ssh_private_key", &[], NAME_KEY),
    ("ansible_private_key", &[], NAME_KEY),
    ("ansible_ssh_private_key_passphrase", &[], PASSPHRASE),
    ("ansible_private_key_passphrase", &[], PASSPHRASE),
];
const CONNECTION: &str = "ansible_connection";
/// Ansible's names for no connection: the host is the machine that the program runs on.
const HERE: [&str; 2] = ["local", "ansible.builtin.local"];
/// Ansible's names for connections that hwctl has. Paramiko is another client of ssh's protocol.
const KNOWN: &[&str] = &[
    HERE[0],
    HERE[1],
    "ssh",
    "smart",
    "ansible.builtin.ssh",
    "ansible.builtin.smart",
    "paramiko",
    "paramiko_ssh",
    "ansible.builtin.paramiko_ssh",
];
const BY_KEY: &str =
    "hwctl logs in with keys: `ssh-copy-id` puts yours on the host; then take this line out";
const NAME_KEY: &str = "name the key's file in `ansible_ssh_private_key_file`";
const PASSPHRASE: &str = "load the key into your agent with `ssh-add`";

/// Names that look like a typing error of one that hwctl obeys, and are none.
const OTHERS: [&str; 22] = [
    "ansible_become_pass_file",
    "ansible_hosts",
    "ansible_httpapi_use_ssl",
    "ansible_local",
    "ansible_paramiko_host",
    "ansible_paramiko_pass",
    "ansible_paramiko_password",
    "ansible_paramiko_port",
    "ansible_paramiko_user",
    "ansible_psrp_host",
    "ansible_psrp_port",
    "ansible_psrp_user",
    "ansible_scp_extra_args",
    "ansible_sftp_extra_args",
    "ansible_su_exe",
    "ansible_su_flags",
    "ansible_su_pass",
    "ansible_su_user",
    "ansible_users",
    "ansible_winrm_host",
    "ansible_winrm_port",
    "ansible_winrm_user",
];

/// Counts in the `vars` of a group only.
const PRIORITY: &str = "ansible_group_priority";

/// Whether this variable says how to connect, so that a message may show its value.
pub(in crate::inventory) fn is_used(key: &str) -> bool {
    USED.contains(&key)
}

/// How a host is reached.
#[derive(Default)]
pub(in crate::inventory) struct ConnectionVars {
    /// Whether the host is this machine.
    pub(in crate::inventory) is_here: bool,
    pub(in crate::inventory) address: String,
    pub(in crate::inventory) user: Option<String>,
    pub(in crate::inventory) port: Option<u16>,
    pub(in crate::inventory) identity: Option<PathBuf>,
    /// Arguments of ssh.
    pub(in crate::inventory) arguments: Vec<String>,
    /// How the login becomes root.
    pub(in crate::inventory) escalation: Escalation,
    /// Why hwctl cannot reach the host as its variables say.
    pub(in crate::inventory) refusal: Option<Problem>,
}

/// The variables of a host, over the settings of `ansible.cfg`.
#[derive(Clone, Copy)]
pub(super) struct Settings<'a> {
    pub(super) vars: &'a HostVars,
    defaults: &'a [Entry],
}

impl Settings<'_> {
    /// A variable as it was written.
    pub(super) fn written(&self, key: &str) -> Option<&Entry> {
        let all = self.vars.entries().iter().chain(self.defaults);
        all.into_iter().find(|entry| entry.key == key && !entry.node.is_null())
    }

    /// A variable, evaluated.
    pub(super) fn get(&self, key: &str) -> Result<Option<Entry>, Problem> {
        let Some(entry) = self.written(key) else { return Ok(None) };
        let node = self.vars.evaluate(&entry.node)?;
        Ok(Some(Entry { node, ..entry.clone() }).filter(|entry| !entry.node.is_null()))
    }

    /// The last of some variables that is set.
    pub(super) fn last(&self, keys: &[&str]) -> Result<Option<Entry>, Problem> {
        // A setting of `ansible.cfg` never beats a variable of another name.
        let is_set = |key: &&&str| self.vars.entries().iter().any(|entry| entry.key == ***key);
        let key = keys.iter().rev().find(is_set);
        let key = key.or_else(|| keys.iter().rev().find(|key| self.written(key).is_some()));
        key.map_or(Ok(None), |key| self.get(key))
    }
}

/// Reads the connection of the host `name` from its variables.
pub(in crate::inventory) fn read(
    vars: &HostVars,
    defaults: &[Entry],
    name: &str,
) -> Result<ConnectionVars, Problem> {
    let settings = Settings { vars, defaults };
    let is_here = match settings.get(CONNECTION)?.map(|entry| entry.node.value) {
        Some(Value::Text(text) | Value::Literal(text)) => HERE.contains(&text.as_str()),
        _ => false,
    };
    let address = match settings.last(&USED[..2])? {
        Some(entry) => word(&entry, "an address or a name")?,
        None if is_here => "localhost".to_owned(),
        None => name.to_owned(),
    };
    let user = settings.last(&USED[2..4])?;
    let user = user.map(|entry| word(&entry, "the name of a user")).transpose()?;
    let port = settings.last(&USED[4..6])?;
    let identity = settings.last(&USED[6..8])?;
    let given = ARGUMENTS.map(|key| settings.get(key));
    let given = given.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut escalation = Escalation::default();
    let mut refused = refusal(settings, name);
    if is_here || user.as_deref() != Some("root") {
        match escalation::read(settings, name) {
            Ok(read) => escalation = read,
            Err(problem) => refused = refused.or(Some(problem)),
        }
    }
    Ok(ConnectionVars {
        is_here,
        address,
        user,
        port: port.map(|entry| port_number(&entry)).transpose()?,
        identity: identity.map(|entry| key_file(&entry)).transpose()?,
        arguments: arguments::read(&given)?,
        escalation,
        refusal: refused,
    })
}

fn wrong(entry: &Entry, expected: &str) -> Problem {
    let not = match &entry.node.value {
        Value::Text(_) | Value::Literal(_) => format!("`{}`", entry.node.shown()),
        _ => entry.node.kind().to_owned(),
    };
    Problem::at(&entry.node.place, format!("`{}` takes {expected}, not {not}", entry.key))
}

/// Text that is safe on ssh's command line.
fn word(entry: &Entry, expected: &str) -> Result<String, Problem> {
    match &entry.node.value {
        Value::Text(text) | Value::Literal(text) if usable(text).is_ok() => Ok(text.clone()),
        _ => Err(wrong(entry, expected)),
    }
}

fn port_number(entry: &Entry) -> Result<u16, Problem> {
    let number = match &entry.node.value {
        Value::Number(number) => number.as_u64(),
        Value::Text(text) | Value::Literal(text) => text.trim().parse().ok(),
        _ => None,
    };
    let port = number.and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0);
    port.ok_or_else(|| wrong(entry, "a port from 1 to 65535"))
}

/// A key's path, as Ansible gives it to ssh: `~` is the operator's home, and a relative path begins
/// at the working folder. ssh itself replaces `~user` and tokens such as `%d`.
fn key_file(entry: &Entry) -> Result<PathBuf, Problem> {
    match &entry.node.value {
        Value::Text(text) | Value::Literal(text)
            if !text.is_empty() && !text.contains(char::is_control) =>
        {
            Ok(home(Path::new(text)))
        }
        _ => Err(wrong(entry, "the path of a key")),
    }
}

/// Says no to Jinja where nothing evaluates it.
pub(in crate::inventory) fn no_template(node: &Node) -> Result<(), Problem> {
    match &node.value {
        Value::Text(text) if text.contains("{{") || text.contains("{%") => {
            let problem = Problem::at(&node.place, "no template is evaluated here");
            Err(problem.hint("write the value itself; tag it `!unsafe` if the braces are meant"))
        }
        _ => Ok(()),
    }
}

/// The variables by which hwctl reaches hosts.
pub(in crate::inventory) fn used() -> impl Iterator<Item = &'static str> {
    USED.into_iter().chain(ARGUMENTS).chain(escalation::NAMES)
}

/// Whether this is a variable of Ansible's that hwctl obeys, refuses or passes over on purpose.
pub(in crate::inventory) fn is_known(key: &str) -> bool {
    let refused = REFUSED.into_iter().map(|(name, ..)| name);
    let mut known = used().chain(refused).chain(OTHERS).chain([PRIORITY]);
    known.any(|name| name == key) || key.starts_with("ansible_") && key.ends_with("_interpreter")
}

/// Why hwctl cannot reach this host as its variables say, or None if it can.
fn refusal(settings: Settings, name: &str) -> Option<Problem> {
    REFUSED.iter().find_map(|(key, harmless, hint)| {
        let entry = settings.written(key).filter(|entry| !entry.node.is_empty_text())?;
        // Only a value that may be harmless is looked at: any other may be secret.
        let value = match harmless.is_empty() {
            true => None,
            false => match settings.get(key) {
                Ok(value) => value,
                Err(problem) => return Some(problem),
            },
        };
        let value = value.as_ref().map(|entry| &entry.node.value);
        if let Some(Value::Text(text) | Value::Literal(text)) = value
            && harmless.contains(&text.as_str())
        {
            return None;
        }
        Some(refused(entry, name, hint))
    })
}

/// The problem of a variable that hwctl does not obey.
pub(super) fn refused(entry: &Entry, name: &str, hint: &str) -> Problem {
    let message =
        format!("host `{}` sets `{}`, which hwctl does not support", shown(name), entry.key);
    Problem::at(&entry.place, message).hint(hint).page(Page::Inventory)
}

/// What counts for Ansible neither.
pub(in crate::inventory) fn warnings(vars: &[Entry]) -> Vec<Warning> {
    let entry = vars.iter().find(|entry| entry.key == PRIORITY && !entry.node.is_null());
    let message = format!("`{PRIORITY}` is ignored: it counts in the `vars` of a group only");
    entry.map(|entry| Warning { place: entry.place.to_string(), message }).into_iter().collect()
}
