//! How a login becomes root: what hwctl obeys and refuses of Ansible's `ansible_become*` variables.

use super::connection::{Settings, refused};
use crate::inventory::yaml::node::{Entry, Value};
use crate::inventory::yaml::problem::Problem;

/// Variables with sudo's password. The last one that is set wins.
pub(super) const PASSWORD: [&str; 3] =
    ["ansible_become_password", "ansible_become_pass", "ansible_sudo_pass"];
const USER: [&str; 2] = ["ansible_become_user", "ansible_sudo_user"];
const PROGRAM: [&str; 2] = ["ansible_become_exe", "ansible_sudo_exe"];
const FLAGS: [&str; 2] = ["ansible_become_flags", "ansible_sudo_flags"];
const METHOD: &str = "ansible_become_method";
const WHETHER: &str = "ansible_become";
const FOLDER: &str = "ansible_sudo_chdir";

/// All variables that say how to become root.
pub(super) const NAMES: [&str; 12] = [
    "ansible_become",
    "ansible_become_exe",
    "ansible_become_flags",
    "ansible_become_method",
    "ansible_become_pass",
    "ansible_become_password",
    "ansible_become_user",
    "ansible_sudo_chdir",
    "ansible_sudo_exe",
    "ansible_sudo_flags",
    "ansible_sudo_pass",
    "ansible_sudo_user",
];

/// Flags of sudo that are passed on.
const PASSED: [&str; 4] = ["-H", "--set-home", "-E", "--preserve-env"];
/// Flags of sudo that hwctl sets itself as it needs them.
const OWN: [&str; 4] = ["-S", "--stdin", "-n", "--non-interactive"];

/// How a login becomes root.
#[derive(Clone, Default)]
pub(in crate::inventory) struct Escalation {
    /// The program, where it is not the `sudo` on the host's PATH.
    pub(in crate::inventory) program: Option<String>,
    pub(in crate::inventory) flags: Vec<String>,
    /// The variable with the password. It is evaluated only if sudo asks.
    pub(in crate::inventory) password: Option<Entry>,
}

/// Reads how a host becomes root. The error says what hwctl does not obey.
pub(super) fn read(settings: Settings, name: &str) -> Result<Escalation, Problem> {
    let refuse = |entry: &Entry, hint: &str| Err(refused(entry, name, hint));
    if let Some(entry) = settings.get(WHETHER)?
        && is_no(&entry.node.value)
    {
        return refuse(&entry, "hwctl works as root: say `true`, or leave this host out");
    }
    if let Some(entry) = settings.last(&USER)?
        && text(&entry) != Some("root")
    {
        return refuse(&entry, "hwctl works as root: take this line out");
    }
    if let Some(entry) = settings.get(METHOD)?
        && !["sudo", "ansible.builtin.sudo"].contains(&text(&entry).unwrap_or_default())
    {
        return refuse(&entry, "hwctl becomes root with sudo, or logs in as root");
    }
    if let Some(entry) = settings.get(FOLDER)? {
        return refuse(&entry, "hwctl works in no folder of the host: take this line out");
    }
    let program = match settings.last(&PROGRAM)? {
        None => None,
        Some(entry) => match text(&entry) {
            Some("sudo") => None,
            Some(program) if is_program(program) => Some(program.to_owned()),
            _ => return refuse(&entry, "name sudo alone, by its name or its absolute path"),
        },
    };
    let flags = match settings.last(&FLAGS)? {
        None => Vec::new(),
        Some(entry) => match text(&entry).and_then(passed) {
            Some(flags) => flags,
            None => return refuse(&entry, "hwctl passes `-H` and `-E` to sudo, and no more"),
        },
    };
    let mut passwords = PASSWORD.iter().rev().filter_map(|key| settings.written(key));
    let password = passwords.find(|entry| !entry.node.is_empty_text()).cloned();
    Ok(Escalation { program, flags, password })
}

fn text(entry: &Entry) -> Option<&str> {
    match &entry.node.value {
        Value::Text(text) | Value::Literal(text) => Some(text),
        _ => None,
    }
}

/// Whether a value means no to Ansible.
fn is_no(value: &Value) -> bool {
    match value {
        Value::Flag(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Text(text) | Value::Literal(text) => {
            let no = ["no", "off", "false", "0", "n", "f"];
            no.contains(&text.trim().to_lowercase().as_str())
        }
        _ => false,
    }
}

/// Whether this names a program that means the same to every shell.
fn is_program(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    text.starts_with(|c: char| c == '/' || c.is_ascii_alphanumeric()) && text.chars().all(fits)
}

/// The flags that sudo gets, or None if there is one that hwctl does not pass.
fn passed(flags: &str) -> Option<Vec<String>> {
    let mut passed = Vec::new();
    for word in flags.split_whitespace() {
        // Short flags may stand together, as in `-HE`.
        let letters = word.strip_prefix('-').filter(|letters| !letters.starts_with('-'));
        let words = match letters {
            Some(letters) => letters.chars().map(|letter| format!("-{letter}")).collect(),
            None => vec![word.to_owned()],
        };
        for flag in words {
            if PASSED.contains(&flag.as_str()) {
                passed.push(flag);
            } else if !OWN.contains(&flag.as_str()) {
                return None;
            }
        }
    }
    Some(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_sudo_are_passed_replaced_or_refused() {
        let flags = |text: &str| passed(text).map(|flags| flags.join(" "));

        assert_eq!(flags("-H -S -n").as_deref(), Some("-H"));
        assert_eq!(flags("-HE").as_deref(), Some("-H -E"));
        assert_eq!(flags("").as_deref(), Some(""));
        for refused in ["-u bob", "-i", "-H -s", "--login", "-Hu", "bob"] {
            assert_eq!(flags(refused), None, "{refused}");
        }
    }

    #[test]
    fn only_a_plain_name_or_path_is_a_program() {
        assert!(is_program("/usr/local/bin/sudo") && is_program("sudo-rs"));
        for text in ["sudo -i", "$(id)", "~/sudo", "-sudo", "", "a'b"] {
            assert!(!is_program(text), "{text}");
        }
    }
}
