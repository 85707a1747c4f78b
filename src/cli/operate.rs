//! The verbs of operation: how hosts are, their logs, their data, restarts.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{HostArgs, NamedHosts};

pub(super) const STATUS_EXAMPLES: &str = "\
Examples:
  hwctl status                     all hosts of the inventory
  hwctl status --host vm1 --watch  a live screen until Ctrl-C
  hwctl status --json | jq '.hosts[] | select(.healthy | not)'

Exit code 0: all hosts are healthy; 1: one is not; 5: one cannot be reached.
On a host itself, `check-flask` shows the same, save for the drift: what the
host should be is in the inventory.";

pub(super) const TOP_EXAMPLES: &str = "\
Examples:
  hwctl top              all hosts of the inventory, those in trouble first
  hwctl top --json       the same for programs, a document for each look

It looks again every two seconds until Ctrl-C, and needs no monitoring on the
hosts: requests, errors and the time within which 99 of 100 requests were
answered (p99) are the API's own numbers.";

pub(super) const LOGS_EXAMPLES: &str = "\
Examples:
  hwctl logs flask -f                     requests to the API, as they come
  hwctl logs --errors --since 2h          what went wrong in the last two hours
  hwctl logs api redis --host vm1 -n 200  two logs of one host
  hwctl logs --json | jq -r 'select(.event == \"log\") | .text'

Logs: the name of each site (main, site1, site2) and `flask` are nginx's
access and error logs of that place, `nginx` those of all else, `api` is the
API's own log, `redis` the container's. --errors shows nginx's error logs,
answers of 500 and more, and warnings and errors of the others.";

pub(super) const VERIFY_EXAMPLES: &str = "\
Examples:
  hwctl verify --host vm1  a list with ticks
  hwctl verify --json | jq '.hosts[].checks[] | select(.ok | not)'

It logs in once on each host, as the first user of `api.users`, and adds two
to the count of visits. Exit code 0: all checks pass; 1: one does not; 5: a
host cannot be reached.";

pub(super) const SSH_EXAMPLES: &str = "\
Examples:
  hwctl ssh vm1                               a login
  hwctl ssh vm1 -- journalctl -u nginx -n 20  one command";

pub(super) const EXEC_EXAMPLES: &str = "\
Examples:
  hwctl exec -- uptime                       on all hosts of the inventory
  hwctl exec --limit web --sudo -- systemctl is-active nginx
  hwctl exec -- sh -c 'df -h / | tail -n 1'  pipes need a shell: name it
  hwctl exec --app shop --host vm1 -- ./manage.py check

The command runs as the login user. Its arguments are passed on as they are:
no shell on the host expands them. Its standard input is empty. Exit code 1:
it failed on a host; 5: a host cannot be reached.";

pub(super) const REDIS_EXAMPLES: &str = "\
Examples:
  hwctl redis --host vm1                         a session
  hwctl redis -- GET visits                      one command, on all hosts
  hwctl redis --host vm1 -- INFO memory

The password is taken on the host and is in no command line.";

pub(super) const BACKUP_EXAMPLES: &str = "\
Examples:
  hwctl backup visits.backup --host vm1  one host
  hwctl backup backups/                  all hosts, a file each

The copy is of one moment, counted at that moment; requests go on. The file is
yours alone (0600), and an earlier one is replaced only by a whole one.";

pub(super) const RESTORE_EXAMPLES: &str = "\
Examples:
  hwctl restore visits.backup --host vm1  one host
  hwctl restore backups/                  all hosts, each from its own file

The file's checksum is compared before a host is contacted. Redis is stopped
for a moment. What it had before is removed only once the restored data is
counted; else it is put back (exit code 4).";

pub(super) const WATCH_EXAMPLES: &str = "\
Examples:
  hwctl watch                      a line when a host goes down or comes back
  hwctl watch --notify --every 60  the channels of the inventory hear of it too

It checks until Ctrl-C, and only whether hosts can be reached. Faults inside a
host are reported by the host itself if the inventory has `notify`: see
`hwctl help monitoring`. Exit code 0: all hosts could be reached at the last
look; 5: one could not.";

pub(super) const NOTIFY_EXAMPLES: &str = "\
Examples:
  hwctl notify test --host vm1  a message from this host by each channel
  hwctl notify test             from all hosts of the inventory

Exit code 0: every channel took it; 1: one did not; 5: a host cannot be
reached.";

/// `hwctl watch`.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// Hosts that are named without `--host`.
    #[command(flatten)]
    pub named: NamedHosts,
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// Tell by the channels that the inventory has for each host in `notify`
    #[arg(long)]
    pub notify: bool,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub every: u32,
    /// One JSON document a line for each message, as a webhook gets it
    #[arg(long)]
    pub json: bool,
    /// End after so many looks
    #[arg(long, hide = true)]
    pub rounds: Option<u64>,
}

/// `hwctl notify`.
#[derive(Clone, Debug, Args)]
pub struct NotifyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: NotifyCommand,
}

/// What to do about the channels.
#[derive(Clone, Debug, Subcommand)]
pub enum NotifyCommand {
    /// Send a test message from hosts by each channel, and say what became of it
    #[command(after_help = NOTIFY_EXAMPLES)]
    Test(TestArgs),
}

/// `hwctl notify test`.
#[derive(Clone, Debug, Args)]
pub struct TestArgs {
    /// Hosts that are named without `--host`.
    #[command(flatten)]
    pub named: NamedHosts,
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// One JSON event per line on standard output
    #[arg(long)]
    pub json: bool,
}

/// A look of a host at itself.
#[derive(Clone, Debug, Args)]
pub struct WatchHostArgs {
    /// Send a test message instead
    #[arg(long)]
    pub test: bool,
    /// Take this for the time, in seconds since 1970
    #[arg(long)]
    pub now: Option<i64>,
}

/// `hwctl status`.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// Hosts that are named without `--host`.
    #[command(flatten)]
    pub named: NamedHosts,
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// Look again every two seconds, on a screen that stays in place, until Ctrl-C
    #[arg(short, long)]
    pub watch: bool,
    /// One JSON document on standard output; with --watch one a line for each look
    #[arg(long)]
    pub json: bool,
}

/// `hwctl top`.
#[derive(Clone, Debug, Args)]
pub struct TopArgs {
    /// Hosts that are named without `--host`.
    #[command(flatten)]
    pub named: NamedHosts,
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// One JSON document a line for each look
    #[arg(long)]
    pub json: bool,
}

/// `hwctl logs`.
#[derive(Clone, Debug, Args)]
pub struct LogsArgs {
    /// Which: the name of a site, flask, nginx, api, redis or all
    #[arg(value_name = "LOG", default_value = "all")]
    pub logs: Vec<String>,
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// Go on with new lines until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// At most this many of each host's newest lines [default: 50; with --since: all]
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<usize>,
    /// Only lines since then: 45s, 10m, 2h, 3d, 2026-11-24, '2026-11-24 04:06' in your time
    #[arg(long, value_name = "T")]
    pub since: Option<String>,
    /// Only what went wrong
    #[arg(long)]
    pub errors: bool,
    /// One JSON event per line on standard output
    #[arg(long)]
    pub json: bool,
}

/// `hwctl verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// Hosts that are named without `--host`.
    #[command(flatten)]
    pub named: NamedHosts,
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// One JSON document on standard output, as `hwctl status --json` has it
    #[arg(long)]
    pub json: bool,
}

/// `hwctl ssh`.
#[derive(Clone, Debug, Args)]
pub struct SshArgs {
    /// The host, by name or address; may be left out where there is one
    #[arg(value_name = "HOST")]
    pub name: Option<String>,
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// Command to run there instead of a login shell
    #[arg(last = true)]
    pub command: Vec<String>,
}

/// `hwctl exec`.
#[derive(Clone, Debug, Args)]
pub struct ExecArgs {
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// Run it as root
    #[arg(long)]
    pub sudo: bool,
    /// Run it as this app does: as its user, with its environment, in its folder or container
    #[arg(long, value_name = "APP", conflicts_with = "sudo")]
    pub app: Option<String>,
    /// One JSON event per line on standard output
    #[arg(long)]
    pub json: bool,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// A program in the place of an app on the host itself.
#[derive(Clone, Debug, Args)]
pub struct InAppArgs {
    /// The app
    pub app: String,
    /// The program and its arguments
    #[arg(required = true, last = true)]
    pub command: Vec<String>,
}

/// `hwctl redis`.
#[derive(Clone, Debug, Args)]
pub struct RedisArgs {
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// One JSON event per line on standard output, of a command
    #[arg(long, requires = "command")]
    pub json: bool,
    /// A command for Redis instead of a session
    #[arg(last = true)]
    pub command: Vec<String>,
}

/// redis-cli on the host itself.
#[derive(Clone, Debug, Args)]
pub struct RedisCliArgs {
    /// Redis's container
    pub container: String,
    /// A command for Redis instead of a session
    #[arg(last = true)]
    pub command: Vec<String>,
}

/// `hwctl backup`.
#[derive(Clone, Debug, Args)]
pub struct BackupArgs {
    /// The file; of several hosts a folder, with a file by the name of each
    pub file: PathBuf,
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// Seconds to wait for another run on the host to finish
    #[arg(hide_short_help = true, long, value_name = "SECONDS", default_value_t = 600)]
    pub wait: u32,
    /// One JSON event per line on standard output
    #[arg(long)]
    pub json: bool,
}

/// `hwctl restore`.
#[derive(Clone, Debug, Args)]
pub struct RestoreArgs {
    /// The file, or a folder that `hwctl backup` has filled
    pub file: PathBuf,
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// Seconds to wait for another run on the host to finish
    #[arg(hide_short_help = true, long, value_name = "SECONDS", default_value_t = 600)]
    pub wait: u32,
    /// One JSON event per line on standard output
    #[arg(long)]
    pub json: bool,
}
