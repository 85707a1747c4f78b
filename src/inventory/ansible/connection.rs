//! How a host is reached: what hwctl uses of Ansible's `ansible_*` variables, and what it passes over.

use std::path::{Path, PathBuf};

use super::arguments;
use crate::inventory::Warning;
use crate::inventory::names::{shown, usable};
use crate::inventory::yaml::node::{Entry, Node, Value};
use crate::inventory::yaml::place::Problem;

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

/// Variables that change how Ansible works and not what hwctl does: a file that both read stays
/// as it is. hwctl always becomes root, brings its own binary, and takes ssh's own settings.
const PASSED_OVER: [&str; 24] = [
    "ansible_async_dir",
    "ansible_become",
    "ansible_become_exe",
    "ansible_become_flags",
    "ansible_connect_timeout",
    "ansible_control_path",
    "ansible_control_path_dir",
    "ansible_facts_modules",
    "ansible_host_key_checking",
    "ansible_module_compression",
    "ansible_pipelining",
    "ansible_python_interpreter",
    "ansible_remote_tmp",
    "ansible_shell_executable",
    "ansible_shell_type",
    "ansible_ssh_host_key_checking",
    "ansible_ssh_pipelining",
    "ansible_ssh_retries",
    "ansible_ssh_timeout",
    "ansible_ssh_transfer_method",
    "ansible_ssh_use_tty",
    "ansible_ssh_verbosity",
    "ansible_system_tmpdirs",
    "ansible_timeout",
];

/// Variables that would have Ansible reach a host in a way that hwctl has not, the values that
/// change nothing, and what to do instead. With any other value the host is refused.
const REFUSED: [(&str, &[&str], &str); 12] = [
    (
        "ansible_connection",
        SSH,
        "hwctl reaches hosts by ssh only: leave this host out with `--limit`",
    ),
    ("ansible_password", &[], BY_KEY),
    ("ansible_ssh_pass", &[], BY_KEY),
    ("ansible_ssh_password", &[], BY_KEY),
    ("ansible_become_pass", &[], ASK),
    ("ansible_become_password", &[], ASK),
    ("ansible_become_user", &["root"], "hwctl works as root: take this line out"),
    (
        "ansible_become_method",
        &["sudo", "ansible.builtin.sudo"],
        "hwctl becomes root with sudo, or logs in as root",
    ),
    (
        "ansible_ssh_executable",
        &["ssh", "/usr/bin/ssh"],
        "hwctl runs the `ssh` on your PATH: put yours first there",
    ),
    ("ansible_ssh_private_key", &[], NAME_KEY),
    ("ansible_private_key", &[], NAME_KEY),
    ("ansible_ssh_private_key_passphrase", &[], "load the key into your agent with `ssh-add`"),
];
const SSH: &[&str] = &["ssh", "smart", "ansible.builtin.ssh"];
const BY_KEY: &str =
    "hwctl logs in with keys: `ssh-copy-id` puts yours on the host; then take this line out";
const ASK: &str = "give `--ask-become-pass` and take this line out";
const NAME_KEY: &str = "name the key's file in `ansible_ssh_private_key_file`";

/// Counts in the `vars` of a group only.
const PRIORITY: &str = "ansible_group_priority";

/// Variables of connections that hwctl has not.
const OTHERS: [&str; 13] = [
    "ansible_docker_",
    "ansible_httpapi_",
    "ansible_libssh_",
    "ansible_local_",
    "ansible_netconf_",
    "ansible_network_",
    "ansible_paramiko_",
    "ansible_persistent_",
    "ansible_psrp_",
    "ansible_scp_",
    "ansible_sftp_",
    "ansible_sudo_",
    "ansible_winrm_",
];

/// Whether this variable says how to connect, so that a message may show its value.
pub(in crate::inventory) fn is_used(key: &str) -> bool {
    USED.contains(&key)
}

/// How a host is reached.
pub(in crate::inventory) struct ConnectionVars {
    pub(in crate::inventory) address: String,
    pub(in crate::inventory) user: Option<String>,
    pub(in crate::inventory) port: Option<u16>,
    pub(in crate::inventory) identity: Option<PathBuf>,
    /// Arguments of ssh.
    pub(in crate::inventory) arguments: Vec<String>,
}

/// Reads the connection of the host `name` from its merged variables.
pub(in crate::inventory) fn read(
    name: &str,
    vars: &[Entry],
    folder: &Path,
) -> Result<ConnectionVars, Problem> {
    let said = |key| vars.iter().find(|entry| entry.key == key && !entry.node.is_null());
    let last = |one, two| said(two).or_else(|| said(one));
    let address = match last("ansible_host", "ansible_ssh_host") {
        Some(entry) => word(entry, "an address or a name")?,
        None => name.to_owned(),
    };
    let user = last("ansible_user", "ansible_ssh_user");
    let port = last("ansible_port", "ansible_ssh_port");
    let identity = last("ansible_private_key_file", "ansible_ssh_private_key_file");
    Ok(ConnectionVars {
        address,
        user: user.map(|entry| word(entry, "the name of a user")).transpose()?,
        port: port.map(port_number).transpose()?,
        identity: identity.map(|entry| key_file(entry, folder)).transpose()?,
        arguments: arguments::read(&ARGUMENTS.map(said))?,
    })
}

fn wrong(entry: &Entry, expected: &str) -> Problem {
    let not = match &entry.node.value {
        Value::Text(text) | Value::Literal(text) => format!("`{}`", shown(text)),
        _ => entry.node.kind().to_owned(),
    };
    Problem::at(&entry.node.place, format!("`{}` takes {expected}, not {not}", entry.key))
}

/// Text that is safe on ssh's command line.
fn word(entry: &Entry, expected: &str) -> Result<String, Problem> {
    no_template(&entry.node)?;
    match &entry.node.value {
        Value::Text(text) | Value::Literal(text) if usable(text).is_ok() => Ok(text.clone()),
        _ => Err(wrong(entry, expected)),
    }
}

fn port_number(entry: &Entry) -> Result<u16, Problem> {
    no_template(&entry.node)?;
    let number = match &entry.node.value {
        Value::Number(number) => number.as_u64(),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    };
    let port = number.and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0);
    port.ok_or_else(|| wrong(entry, "a port from 1 to 65535"))
}

/// A key's path; `~` is the operator's home, and a relative path begins at the inventory's folder.
fn key_file(entry: &Entry, folder: &Path) -> Result<PathBuf, Problem> {
    no_template(&entry.node)?;
    let text = match &entry.node.value {
        Value::Text(text) | Value::Literal(text)
            if !text.is_empty() && !text.contains(char::is_control) =>
        {
            text
        }
        _ => return Err(wrong(entry, "the path of a key")),
    };
    match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Ok(Path::new(&home).join(rest)),
        _ => Ok(folder.join(text)),
    }
}

/// Says no to Jinja: what Ansible would compute is not known here.
pub(in crate::inventory) fn no_template(node: &Node) -> Result<(), Problem> {
    match &node.value {
        Value::Text(text) if text.contains("{{") || text.contains("{%") => {
            let problem = Problem::at(&node.place, "hwctl does not evaluate Jinja templates");
            Err(problem.hint("write the value itself; tag it `!unsafe` if the braces are meant"))
        }
        _ => Ok(()),
    }
}

/// The variables by which hwctl reaches hosts.
pub(in crate::inventory) fn used() -> impl Iterator<Item = &'static str> {
    USED.into_iter().chain(ARGUMENTS)
}

/// Whether this is a variable of Ansible's that hwctl obeys, refuses or passes over on purpose.
pub(in crate::inventory) fn is_known(key: &str) -> bool {
    let refused = REFUSED.into_iter().map(|(name, ..)| name);
    let mut known = used().chain(PASSED_OVER).chain(refused).chain([PRIORITY]);
    known.any(|name| name == key)
        || key.starts_with("ansible_")
            && (key.ends_with("_interpreter") || OTHERS.iter().any(|other| key.starts_with(other)))
}

/// Why hwctl cannot reach this host as its variables say, or None if it can.
pub(in crate::inventory) fn refusal(name: &str, vars: &[Entry]) -> Option<Problem> {
    REFUSED.iter().find_map(|(key, harmless, hint)| {
        let entry = vars.iter().find(|entry| entry.key == *key && !entry.node.is_null())?;
        let value = match &entry.node.value {
            Value::Text(text) | Value::Literal(text) => text.as_str(),
            _ => "",
        };
        if harmless.contains(&value) {
            return None;
        }
        let message = format!("host `{}` has `{key}`, which hwctl does not obey", shown(name));
        Some(Problem::at(&entry.place, message).hint(*hint))
    })
}

/// What counts for Ansible neither.
pub(in crate::inventory) fn warnings(vars: &[Entry]) -> Vec<Warning> {
    let entry = vars.iter().find(|entry| entry.key == PRIORITY && !entry.node.is_null());
    let message = format!("`{PRIORITY}` is ignored: it counts in the `vars` of a group only");
    entry.map(|entry| Warning { place: entry.place.to_string(), message }).into_iter().collect()
}
