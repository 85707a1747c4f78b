//! Who makes a run.

use crate::engine::protocol::RunInfo;
use crate::resource::user_name;

/// Who runs it, for the host's lock and journal.
pub(in crate::command) fn run_info(verb: &str) -> RunInfo {
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    RunInfo {
        operator: format!("{}@{machine}", user(|name| std::env::var(name).ok())),
        verb: verb.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// The person, also behind sudo; a timer and a service have no such variables.
fn user(variable: impl Fn(&str) -> Option<String>) -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(variable);
    named
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| user_name(rustix::process::getuid().as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_it_is_known_behind_sudo_and_without_variables() {
        let sudo = |name: &str| (name == "SUDO_USER").then(|| "alice".to_owned());
        assert_eq!(user(|name| sudo(name).or_else(|| Some("root".to_owned()))), "alice");
        let own = user_name(rustix::process::getuid().as_raw());
        assert_eq!(user(|_| None), own);
        assert_eq!(user(|_| Some(String::new())), own);
    }
}
