//! Names of variables that are Ansible's own.

use super::connection::{ARGUMENTS, PRIORITY, REFUSED, USED};
use super::escalation;
use crate::inventory::names::shown;
use crate::inventory::yaml::node::Entry;
use crate::inventory::yaml::place::Problem;

/// How many letters a mistyped name may differ in.
const NEAR: usize = 2;

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

/// Finds a mistyped name of a variable that hwctl obeys. All other names that begin with
/// `ansible_` are Ansible's, its plugins' or the operator's.
pub(in crate::inventory) fn check_name(entry: &Entry) -> Result<(), Problem> {
    let key = entry.key.as_str();
    let known = || {
        let refused = REFUSED.into_iter().map(|(name, ..)| name);
        USED.into_iter().chain(ARGUMENTS).chain(escalation::NAMES).chain(refused).chain([PRIORITY])
    };
    if OTHERS.contains(&key) || known().any(|name| name == key) {
        return Ok(());
    }
    let distance = |name: &str| strsim::damerau_levenshtein(key, name);
    let near = known().filter(|name| distance(name) <= NEAR).min_by_key(|name| distance(name));
    near.map_or(Ok(()), |near| {
        let message = format!("Ansible has no variable `{}`", shown(key));
        let problem = Problem::at(&entry.place, message).hiding(&entry.node, None);
        Err(problem.hint(format!("did you mean `{near}`?")))
    })
}
