//! `hwctl lab`: disposable hosts on this machine.

use clap::{Args, Subcommand};

const UP_EXAMPLES: &str = "\
Examples:
  hwctl lab up                                    one host, `lab1`
  hwctl lab up web1 --count 3 --release bookworm  web1, web2 and web3";

const LIST_EXAMPLES: &str = "\
Examples:
  hwctl lab list                    name, address, release and state
  hwctl lab list | awk '{print $2}'";

const SSH_EXAMPLES: &str = "\
Examples:
  hwctl lab ssh lab1                 a login
  hwctl lab ssh lab1 -- sudo reboot  one command";

const DOWN_EXAMPLES: &str = "\
Examples:
  hwctl lab down lab1 web1  these two
  hwctl lab down --all      all there are";

/// `hwctl lab`.
#[derive(Debug, Args)]
pub struct LabArgs {
    /// What to do with lab hosts.
    #[command(subcommand)]
    pub command: LabCommand,
}

/// What to do with lab hosts.
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Make hosts and boot them; the first of a release takes about a minute, others a second
    #[command(after_help = UP_EXAMPLES)]
    Up {
        /// Name of the host; with --count, the first of that many names
        #[arg(default_value = "lab1")]
        name: String,
        /// Make this many hosts: lab1, lab2, ...
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=99))]
        count: u8,
        /// Debian or Ubuntu release, such as trixie, bookworm or noble
        #[arg(long, default_value = crate::lab::DEFAULT_RELEASE)]
        release: String,
    },
    /// List the hosts
    #[command(after_help = LIST_EXAMPLES)]
    List,
    /// Log in to a host, or run a command on it
    #[command(after_help = SSH_EXAMPLES)]
    Ssh {
        /// Name of the host
        name: String,
        /// Command to run there
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Take hosts down and remove all that belongs to them
    #[command(after_help = DOWN_EXAMPLES)]
    Down {
        /// Names of the hosts
        #[arg(required_unless_present = "all", value_name = "NAME")]
        names: Vec<String>,
        /// Take all hosts down
        #[arg(long, conflicts_with = "names")]
        all: bool,
    },
}
