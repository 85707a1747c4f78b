//! The whole command line: clap types only.

use clap::{Args, Parser, Subcommand};

/// Turns a fresh Ubuntu or Debian VM into a hardened, serving host, and keeps it that way.
#[derive(Debug, Parser)]
#[command(name = "hwctl", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Disposable real hosts on this Linux machine, for trying things out and for tests
    Lab(LabArgs),
}

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
    List,
    /// Log in to a host, or run a command on it
    Ssh {
        /// Name of the host
        name: String,
        /// Command to run there
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Take hosts down and remove all that belongs to them
    Down {
        /// Names of the hosts
        #[arg(required_unless_present = "all", value_name = "NAME")]
        names: Vec<String>,
        /// Take all hosts down
        #[arg(long, conflicts_with = "names")]
        all: bool,
    },
}
