//! Root on the host: straight away for root, else through sudo, with a password where it wants one.
//!
//! The password is written once, and only after sudo has asked for it. Anything earlier would be
//! read by the program that sudo starts when it asks nothing, and a second try
//! brings the account closer to being locked.

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::bootstrap::MAX_TOLD;
use super::connection::Input;
use super::ssh::Target;
use crate::failure::{Exit, Failure, Page};

/// What sudo is told to ask with.
const PROMPT: &str = "hwctl-sudo-password:";
/// What a program that sudo has started says first, where that has to be known.
pub(super) const READY: &str = "hwctl ready";

/// How a command becomes root, as words before its own.
pub(super) fn words(target: &Target) -> Vec<String> {
    let flags: &[&str] = match target.become_password {
        Some(_) => &["-S", "-p", PROMPT, "--"],
        None => &["-n", "--"],
    };
    let flags = flags.iter().map(|word| (*word).to_owned());
    target.sudo.iter().cloned().chain(flags).collect()
}

/// What the host says on standard error while sudo decides, and what sudo gets.
pub(super) struct Gate<'a> {
    target: &'a Target,
    told: Vec<u8>,
    /// What was looked at for prompts.
    seen: usize,
    is_given: bool,
    is_over: bool,
    /// Why there is no password to answer with.
    lookup: Option<Failure>,
}

/// What became of sudo.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Waiting,
    /// The password was wrong, so that sudo asks again, or it is not found.
    Wrong,
}

impl<'a> Gate<'a> {
    pub(super) fn new(target: &'a Target) -> Self {
        Self { target, told: Vec::new(), seen: 0, is_given: false, is_over: false, lookup: None }
    }

    /// Whether there is more to read.
    pub(super) fn is_open(&self) -> bool {
        !self.is_over && self.told.len() < MAX_TOLD
    }

    /// Takes what came on standard error; the end of it when empty. Answers sudo's prompt.
    pub(super) async fn hear(&mut self, bytes: &[u8], stdin: &mut Option<Input>) -> Progress {
        use tokio::io::AsyncWriteExt as _;

        self.is_over |= bytes.is_empty();
        self.told.extend_from_slice(bytes);
        let text = String::from_utf8_lossy(&self.told[self.seen..]).into_owned();
        if says_wrong(&text) {
            return Progress::Wrong;
        }
        if !asks(&text) {
            return Progress::Waiting;
        }
        self.seen = self.told.len();
        let (Some(password), Some(stdin), false) =
            (&self.target.become_password, stdin, self.is_given)
        else {
            return Progress::Wrong;
        };
        let password = match password.get().await {
            Ok(password) => password,
            Err(failure) => {
                self.lookup = Some(failure);
                return Progress::Wrong;
            }
        };
        self.is_given = true;
        // A sudo that is gone says why on its standard error.
        let _ = stdin.write_all(format!("{}\n", password.expose()).as_bytes()).await;
        Progress::Waiting
    }

    /// All that was said, without prompts, with what is still to come.
    pub(super) async fn rest(&mut self, stderr: impl AsyncRead + Unpin) -> String {
        // A sudo that waits for its password says no more.
        if self.lookup.is_none() {
            let _ = stderr.take(MAX_TOLD as u64).read_to_end(&mut self.told).await;
        }
        String::from_utf8_lossy(&self.told).replace(PROMPT, "\n")
    }

    /// What it means that the host starts no program as root. `printed` is what came on standard
    /// output, for example from a command that the host forces on this login.
    pub(super) fn refusal(self, told: &str, printed: &str) -> Failure {
        match self.lookup {
            Some(failure) => failure.not_done("nothing was changed on the host"),
            None => refused(self.target, told, printed),
        }
    }
}

/// Waits until the program that sudo starts says that it is [`READY`], and answers sudo meanwhile.
/// Returns whether it did. What the program says next is left in the stream.
pub(super) async fn pass(
    gate: &mut Gate<'_>,
    stdin: &mut Option<Input>,
    stdout: Option<&mut (impl AsyncRead + Unpin)>,
    stderr: Option<&mut (impl AsyncRead + Unpin)>,
) -> bool {
    let (Some(stdout), Some(stderr)) = (stdout, stderr) else { return false };
    let mut printed = String::new();
    loop {
        let mut complaint = [0; 1024];
        tokio::select! {
            biased;
            byte = stdout.read_u8() => match byte {
                Ok(b'\n') if printed.ends_with(READY) => return true,
                Ok(_) if printed.len() >= MAX_TOLD => return false,
                Ok(byte) => printed.push(char::from(byte)),
                Err(_) => return false,
            },
            Ok(read) = stderr.read(&mut complaint), if gate.is_open() => {
                if gate.hear(&complaint[..read], stdin).await == Progress::Wrong {
                    return false;
                }
            }
        }
    }
}

/// Whether sudo asks for a password. sudo-rs puts words of its own around the prompt.
fn asks(text: &str) -> bool {
    let last = text.rsplit('\n').next().unwrap_or_default().trim_end();
    text.contains(PROMPT) || last.starts_with("[sudo") && last.ends_with("assword:")
}

fn says_wrong(text: &str) -> bool {
    text.contains("try again")
}

/// What the host's refusal to start a program as root means.
fn refused(target: &Target, told: &str, printed: &str) -> Failure {
    let says = |texts: &[&str]| texts.iter().any(|text| told.contains(text));
    let failure = |why: &str| {
        let what = format!("cannot become root on `{}`: {why}", target.name);
        because(Failure::new(Exit::Failed, what), told, "").page(Page::Install)
    };
    // The second of each pair is sudo-rs's.
    let failure = if says(&["incorrect password", "try again", "incorrect authentication attempt"])
    {
        failure("sudo does not accept the password")
            .hint("run again with `--ask-become-pass` and the right one")
    } else if says(&[
        "password is required",
        "a terminal is required",
        "interactive authentication is required",
    ]) {
        failure("sudo wants a password")
            .hint("run with `--ask-become-pass`, or let this user use sudo without one")
    } else if says(&["not in the sudoers", "not allowed to", "I'm afraid I can't do that"]) {
        failure("this user may not use sudo").hint("log in as a user who may, with `--user`")
    } else if says(&["sudo: not found", "sudo: command not found", "Unknown command: sudo"]) {
        failure("the host has no sudo").hint("log in as root with `--user root`, or install sudo")
    } else {
        let what = format!("hwctl does not start on `{}`", target.name);
        let failure = because(Failure::new(Exit::Failed, what), told, printed);
        match other_user(printed).or_else(|| other_user(told)) {
            Some(user) => failure.hint(format!("log in with `--user {user}`")),
            None => failure,
        }
    };
    failure.not_done("nothing was changed on the host")
}

/// The last lines of both streams as causes.
fn because(failure: Failure, told: &str, printed: &str) -> Failure {
    const LINES: usize = 4;
    let lines = |text: &str| {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let lines: Vec<_> = lines.map(str::to_owned).collect();
        lines[lines.len().saturating_sub(LINES)..].to_vec()
    };
    lines(printed).into_iter().chain(lines(told)).fold(failure, Failure::why)
}

/// The user that an image for clouds names to those who log in as root.
fn other_user(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("lease login as the user")?;
    rest.split('"')
        .nth(1)
        .filter(|user| user.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(told: &str, printed: &str) -> String {
        refused(&Target::at("vm1"), told, printed).hint.unwrap_or_default()
    }

    #[test]
    fn both_sudos_are_known_by_what_they_say() {
        for told in ["sudo: a password is required", "sudo: interactive authentication is required"]
        {
            assert!(hint(told, "").contains("--ask-become-pass"), "{told}");
        }
        for told in [
            "Sorry, try again.",
            "sudo: 1 incorrect password attempt",
            "sudo: Authentication failed, try again.",
            "sudo: Maximum 3 incorrect authentication attempts",
        ] {
            assert!(hint(told, "").contains("the right one"), "{told}");
        }
        for told in
            ["bob is not in the sudoers file.", "sudo: I'm sorry bob. I'm afraid I can't do that"]
        {
            assert!(hint(told, "").contains("--user"), "{told}");
        }
    }

    #[test]
    fn a_prompt_is_known_from_chatter() {
        assert!(asks("motd\nhwctl-sudo-password:"));
        assert!(asks("[sudo: authenticate] Password: "));
        assert!(!asks("your password: expires soon\n"));
        assert!(!asks("[sudo] lecture about your Password:\nand more"));
    }

    #[test]
    fn what_a_forced_command_prints_is_the_cause_and_names_the_user() {
        let printed = "Please login as the user \"ubuntu\" rather than the user \"root\".\n\n";
        let failure = refused(&Target::at("vm1"), "", printed);

        assert_eq!(failure.why.len(), 1);
        assert_eq!(failure.hint.as_deref(), Some("log in with `--user ubuntu`"));
    }
}
