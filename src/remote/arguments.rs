//! The arguments of ssh, written so that every value means to ssh what it says.

use std::path::Path;

use super::ssh::Target;
use crate::failure::Failure;

impl Target {
    /// What ssh is told on every connection to the host.
    ///
    /// ssh takes the first value that it reads of an option. So what the command line and the
    /// inventory name comes first, then ssh's arguments in the inventory, and last what hwctl
    /// would like if nobody said otherwise. The user's `ssh_config` is read after all of these.
    pub(super) fn arguments(&self) -> Result<Vec<String>, Failure> {
        let mut arguments = Vec::new();
        let mut option = |text: String| arguments.extend(["-o".to_owned(), text]);
        if let Some(path) = &self.known_hosts {
            option(path_option("UserKnownHostsFile", path)?);
        }
        if let Some(path) = &self.identity {
            option("IdentitiesOnly=yes".to_owned());
            option(path_option("IdentityFile", path)?);
        }
        if self.accept_new_host_key {
            option("StrictHostKeyChecking=accept-new".to_owned());
        }
        arguments.extend(self.user.iter().flat_map(|user| ["-l".to_owned(), user.clone()]));
        arguments.extend(self.port.iter().flat_map(|port| ["-p".to_owned(), port.to_string()]));
        arguments.extend(self.ssh_arguments.iter().cloned());
        arguments.push(format!("-oConnectTimeout={}", self.connect_timeout.as_secs()));
        Ok(arguments)
    }
}

/// The option that names a private key, with `~user` and tokens in it for ssh to replace.
pub fn identity_option(path: &Path) -> Result<String, Failure> {
    Ok(format!("IdentityFile=\"{}\"", quoted(usable(path)?)))
}

/// An option whose value is a path, as `ssh -o` takes it.
///
/// ssh splits the value at spaces unless it is quoted, and replaces `%` tokens in it.
fn path_option(keyword: &str, path: &Path) -> Result<String, Failure> {
    Ok(format!("{keyword}=\"{}\"", without_tokens(&quoted(usable(path)?))))
}

fn quoted(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"")
}

/// A path as `ssh -S` takes it: with tokens, and without quotes.
pub(super) fn control_path(path: &Path) -> Result<String, Failure> {
    Ok(without_tokens(usable(path)?))
}

fn without_tokens(text: &str) -> String {
    text.replace('%', "%%")
}

/// The text of a path that ssh can be given at all.
fn usable(path: &Path) -> Result<&str, Failure> {
    let cannot = |why: &str| {
        let what =
            format!("ssh cannot be given the path `{}`", path.to_string_lossy().escape_debug());
        Failure::usage(what).why(why).hint("use a path without such characters")
    };
    match path.to_str() {
        None => Err(cannot("it is not UTF-8")),
        Some(text) if text.contains(char::is_control) => {
            Err(cannot("it contains a control character"))
        }
        // ssh has no way to escape it.
        Some(text) if text.contains("${") => {
            Err(cannot("ssh replaces `${…}` by a variable of the environment"))
        }
        Some(text) => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_value_for_ssh_whatever_it_contains() {
        for (path, expected) in [
            ("/home/me/kh", "K=\"/home/me/kh\""),
            ("my keys/kh", "K=\"my keys/kh\""),
            ("50%h/k", "K=\"50%%h/k\""),
            ("a\"b\\c", "K=\"a\\\"b\\\\c\""),
        ] {
            assert_eq!(path_option("K", Path::new(path)).unwrap(), expected);
        }
        assert_eq!(control_path(Path::new("/run/my dir/50%")).unwrap(), "/run/my dir/50%%");
        for path in ["/${HOME}/k", "a\nb"] {
            assert!(path_option("K", Path::new(path)).is_err(), "{path}");
            assert!(control_path(Path::new(path)).is_err(), "{path}");
        }
    }
}
