//! `hwctl lab`: makes, lists, enters and removes disposable hosts.

use std::os::unix::process::CommandExt as _;

use anyhow::Result;

use crate::cli::{LabArgs, LabCommand};
use crate::failure::{Exit, Failure, Page};
use crate::lab::{Lab, LabHost, Lifetime, UpOptions};
use crate::report::{print, print_error};

/// Runs `hwctl lab`.
pub fn run(args: LabArgs) -> Result<Exit> {
    carry_out(args).map_err(|error| explained(&error))
}

/// Names the page about lab hosts in an error of theirs.
pub(super) fn explained(error: &anyhow::Error) -> anyhow::Error {
    Failure::from_error(Exit::Failed, error).page(Page::Lab).into()
}

fn carry_out(args: LabArgs) -> Result<Exit> {
    let lab = Lab::open()?.with_progress(print_error);
    match args.command {
        LabCommand::Up { name, count, release } => {
            for name in names(&name, count) {
                let lifetime = Lifetime::Kept;
                let host = lab.up(&UpOptions { name, release: release.clone(), lifetime })?;
                print(&line(&host));
            }
            Ok(Exit::Done)
        }
        LabCommand::List => {
            lab.list()?.iter().for_each(|host| print(&line(host)));
            Ok(Exit::Done)
        }
        LabCommand::Ssh { name, command } => {
            let host = lab.host(&name).ok_or_else(|| unknown(&name))?;
            let mut ssh = host.ssh_command();
            if !command.is_empty() {
                ssh.arg("--").args(command);
            }
            Err(ssh.exec().into())
        }
        LabCommand::Down { all: true, .. } => {
            lab.down_all()?.iter().for_each(|name| print(&format!("{name} is down")));
            Ok(Exit::Done)
        }
        LabCommand::Down { names, .. } => {
            for name in names {
                if !lab.down(&name)? {
                    return Err(unknown(&name).into());
                }
                print(&format!("{name} is down"));
            }
            Ok(Exit::Done)
        }
    }
}

/// The names of `count` hosts: the given one, or its stem with running numbers.
fn names(first: &str, count: u8) -> Vec<String> {
    if count == 1 {
        return vec![first.to_owned()];
    }
    let stem = first.trim_end_matches(|c: char| c.is_ascii_digit());
    let start: u64 = first[stem.len()..].parse().unwrap_or(1);
    (start..start + u64::from(count)).map(|number| format!("{stem}{number}")).collect()
}

fn line(host: &LabHost) -> String {
    let state = if host.is_running() { "running" } else { "stopped" };
    let kept = if host.is_temporary() { "  temporary" } else { "" };
    format!("{:<12}  {:<15}  {:<10}  {state}{kept}", host.name, host.address, host.release)
}

fn unknown(name: &str) -> Failure {
    Failure::new(Exit::Failed, format!("no lab host is called `{name}`"))
        .hint("`hwctl lab list` names them")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_hosts_get_running_numbers() {
        assert_eq!(names("lab1", 1), ["lab1"]);
        assert_eq!(names("lab1", 3), ["lab1", "lab2", "lab3"]);
        assert_eq!(names("web", 2), ["web1", "web2"]);
        assert_eq!(names("web9", 2), ["web9", "web10"]);
    }
}
