//! What ssh's messages mean, and what to do about them.

use super::login::{Refusal, is_booting, is_missing};
use super::ssh::Target;
use crate::failure::{Exit, Failure, Page};

/// How many lines of ssh's are told.
const MAX_LINES: usize = 6;

impl Target {
    pub(super) fn unreachable(&self, why: &str) -> Failure {
        Failure::new(Exit::Unreachable, format!("cannot reach `{}`: {why}", self.address))
    }

    /// The failure of a login. `fingerprint` is that of a host key that is not known yet.
    pub(super) fn explain(&self, refusal: Refusal, fingerprint: Option<&str>) -> Failure {
        let failure = match refusal {
            Refusal::Wrong(failure) => return failure,
            Refusal::NotStarted(error) if is_missing(&error) => {
                Failure::usage("this machine has no ssh client")
                    .hint("install it: the package is `openssh-client`, or `openssh-clients`")
                    .page(Page::Install)
            }
            Refusal::NotStarted(error) => {
                self.unreachable("ssh could not be started").why(error.to_string())
            }
            Refusal::Ssh(told) => self.explain_ssh(&told, fingerprint),
        };
        failure.not_done("nothing was changed on the host")
    }

    fn explain_ssh(&self, told: &str, fingerprint: Option<&str>) -> Failure {
        if told.contains("REMOTE HOST IDENTIFICATION HAS CHANGED") {
            return self
                .unreachable("its host key has changed")
                .why("the host was reinstalled, or somebody is intercepting the connection")
                .hint(format!(
                    "if it was made anew: `ssh-keygen -R {}`, then run again",
                    self.key_name()
                ));
        }
        if let Some(key) = fingerprint {
            return self
                .unreachable("its host key is not known yet")
                .why(format!("it offers {key}"))
                .hint("compare it with the host's own (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on its console), then run again with `--accept-new-host-key`");
        }
        let (why, hint) = self.meaning(told);
        let lines = told.lines().map(str::trim).filter(|line| !is_noise(line));
        let lines: Vec<_> = lines.collect();
        let first = lines.len().saturating_sub(MAX_LINES);
        let failure = lines[first..].iter().fold(self.unreachable(&why), |f, line| f.why(*line));
        let failure = failure.hint(hint);
        if told.contains("Permission denied") { failure.page(Page::Install) } else { failure }
    }

    fn meaning(&self, told: &str) -> (String, String) {
        let (why, hint) = if is_booting(told) {
            ("it is still booting", "run again in a moment")
        } else if told.contains("System is going down") {
            ("it is shutting down", "run again once it is up")
        } else if told.contains("Permission denied") {
            return (self.not_let_in(), self.way_in(told));
        } else if told.contains("Could not resolve hostname") {
            (
                "its name does not resolve",
                "check the spelling and your DNS, or set `ansible_host` to its address",
            )
        } else if told.contains("Connection refused") {
            ("no ssh answers on that port", "check `--port`, and that sshd runs there")
        } else if told.contains("Not allowed at this time") || told.contains("MaxStartups") {
            ("its sshd refuses connections from this machine for now", "run again in a few minutes")
        } else if told.contains("timed out") {
            (
                "it does not answer in time",
                "check the address, its power and the firewalls on the way",
            )
        } else if told.contains("Host key verification failed") {
            (
                "its host key is not known yet",
                "log in with ssh once, or run again with `--accept-new-host-key`",
            )
        } else if told.contains("Connection closed by") || told.contains("Connection reset by") {
            ("it closes the connection", "`journalctl -u ssh` on the host has the reason")
        } else {
            ("ssh ended without a connection", "`ssh -v` to the same address says more")
        };
        (why.to_owned(), hint.to_owned())
    }

    fn not_let_in(&self) -> String {
        match &self.user {
            Some(user) => format!("it does not let `{user}` in"),
            None => "it does not let you in under ssh's default user".to_owned(),
        }
    }

    /// What to do when no key is taken. `told` ends with the methods that the host offers.
    fn way_in(&self, told: &str) -> String {
        let offers = told.rsplit_once("Permission denied (").map_or("", |(_, methods)| methods);
        if !offers.contains("password") && !offers.contains("keyboard-interactive") {
            return "give the right `--user` and `--identity`, or load the key into your agent"
                .to_owned();
        }
        let port = self.port.map(|port| format!("-p {port} ")).unwrap_or_default();
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        format!(
            "hwctl logs in with keys. `ssh-copy-id {port}{user}{}` puts yours there: it asks for \
             the password once",
            self.address
        )
    }

    /// The name of the host's key in `known_hosts`.
    fn key_name(&self) -> String {
        match self.port {
            Some(port) if port != 22 => format!("'[{}]:{port}'", self.address),
            _ => self.address.clone(),
        }
    }
}

/// Whether a line of ssh's says nothing of the cause.
fn is_noise(line: &str) -> bool {
    line.is_empty() || line.starts_with("Warning: Permanently added")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(user: Option<&str>, ssh: &str) -> Failure {
        let target = Target { user: user.map(str::to_owned), ..Target::at("vm1") };
        target.explain(Refusal::Ssh(ssh.to_owned()), None)
    }

    #[test]
    fn a_login_by_password_alone_names_ssh_copy_id() {
        let failure = told(Some("root"), "root@vm1: Permission denied (publickey,password).");

        assert_eq!(failure.what, "cannot reach `vm1`: it does not let `root` in");
        assert!(failure.hint.unwrap().contains("`ssh-copy-id root@vm1`"));
        let keys_only = told(Some("root"), "root@vm1: Permission denied (publickey).");
        assert!(keys_only.hint.unwrap().contains("--identity"));
    }

    #[test]
    fn every_line_of_ssh_is_a_cause() {
        let failure = told(
            None,
            "Warning: Permanently added 'vm1' (ED25519) to the list of known hosts.\r\n\
             \"System is booting up. Unprivileged users are not permitted to log in yet.\"\r\n\
             Connection closed by 192.0.2.1 port 22\r\n",
        );

        assert_eq!(failure.what, "cannot reach `vm1`: it is still booting");
        assert_eq!(failure.why.len(), 2, "{:?}", failure.why);
    }

    #[test]
    fn a_machine_without_ssh_says_so() {
        let error = std::io::Error::from(std::io::ErrorKind::NotFound);
        let failure = Target::at("vm1").explain(Refusal::NotStarted(error), None);

        assert_eq!(failure.what, "this machine has no ssh client");
        assert_eq!(failure.exit, Exit::Usage);
    }
}
