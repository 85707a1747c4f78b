//! The whole command line: clap types only.

mod batches;
mod change;
mod inspect;
mod lab;
mod operate;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use batches::Batches;
pub use change::*;
pub use inspect::*;
pub use lab::*;
pub use operate::*;

const TOPICS: &str = "\
Pages to read: `hwctl help topics` lists them, `hwctl help review` shows one.";

/// Turns a fresh Ubuntu or Debian VM into a hardened, serving host, and keeps it that way.
#[derive(Debug, Parser)]
#[command(name = "hwctl", version, propagate_version = true, after_help = TOPICS)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// How much is printed, and how.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// How much is printed, and how; for all verbs.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct OutputArgs {
    /// Print failures and how it ended, nothing else
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,
    /// Print each step with its time: what was read from where, how ssh was called
    #[arg(short, long, global = true, help_heading = "Output")]
    pub verbose: bool,
    /// Print a long plan as it is, without the pager of `HWCTL_PAGER`, else `PAGER`, else less
    #[arg(hide_short_help = true, long, global = true, help_heading = "Output")]
    pub no_pager: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Bring hosts to their declared state: plan, apply, verify from outside
    #[command(after_help = change::PROVISION_EXAMPLES)]
    Provision(ProvisionArgs),
    /// Show what provision would change, and change nothing (exit code 3: there are changes)
    #[command(after_help = change::PLAN_EXAMPLES)]
    Plan(PlanOnlyArgs),
    /// Show how hosts are: services, container, API, certificate, disk, last run and drift
    #[command(after_help = operate::STATUS_EXAMPLES)]
    Status(StatusArgs),
    /// Show the load of hosts on a live screen, hosts in trouble first
    #[command(after_help = operate::TOP_EXAMPLES)]
    Top(TopArgs),
    /// Show logs, of several hosts in one, by time
    #[command(after_help = operate::LOGS_EXAMPLES)]
    Logs(LogsArgs),
    /// Test hosts as a client would: every URL, redirect, header, access rule and port, and a real API call
    #[command(after_help = operate::VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Log in to a host with the inventory's user, port and key
    #[command(after_help = operate::SSH_EXAMPLES)]
    Ssh(SshArgs),
    /// Run a command on hosts, all at once
    #[command(after_help = operate::EXEC_EXAMPLES)]
    Exec(ExecArgs),
    /// On the host: a program in the place of an app
    #[command(hide = true)]
    InApp(InAppArgs),
    /// redis-cli in the container: a session, or one command
    #[command(after_help = operate::REDIS_EXAMPLES)]
    Redis(RedisArgs),
    /// Save Redis's data to a file
    #[command(after_help = operate::BACKUP_EXAMPLES)]
    Backup(BackupArgs),
    /// Put Redis's data back from a file, and count what Redis has then
    #[command(after_help = operate::RESTORE_EXAMPLES)]
    Restore(RestoreArgs),
    /// On the host: redis-cli in the container
    #[command(hide = true)]
    RedisCli(RedisCliArgs),
    /// Restart a service without losing a request, and wait until it is healthy
    #[command(after_help = change::RESTART_EXAMPLES)]
    Restart(RestartArgs),
    /// Take apps out of service, with a page that says so, or put them back
    #[command(after_help = change::MAINTENANCE_EXAMPLES)]
    Maintenance(MaintenanceArgs),
    /// Show the runs in a host's journal: when, who, what changed, how it ended
    #[command(after_help = change::HISTORY_EXAMPLES)]
    History(HistoryArgs),
    /// Take hosts back to the state before a run, after showing the plan
    #[command(after_help = change::ROLLBACK_EXAMPLES)]
    Rollback(RollbackArgs),
    /// Take away everything that hwctl made on hosts, after showing the plan; leave the rest
    #[command(after_help = change::DESTROY_EXAMPLES)]
    Destroy(DestroyArgs),
    /// Rotate the secrets that hosts generate
    Secret(SecretArgs),
    /// Put a new version of the API or an app beside the old one and switch to it once it is healthy
    #[command(after_help = change::DEPLOY_EXAMPLES)]
    Deploy(DeployArgs),
    /// Find why a host does not serve as it should: the cause, the evidence, the next step
    #[command(after_help = inspect::DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Show or renew the self-signed certificates of hosts
    Cert(CertArgs),
    /// Check repeatedly whether hosts can be reached, and report when one cannot
    #[command(after_help = operate::WATCH_EXAMPLES)]
    Watch(WatchArgs),
    /// Test the channels through which hosts report faults
    Notify(NotifyArgs),
    /// On the host: look at it once and tell of what is new; a timer calls it
    #[command(hide = true)]
    WatchHost(WatchHostArgs),
    /// Show what hosts are: release, architecture, CPUs, memory, versions
    #[command(after_help = inspect::FACTS_EXAMPLES)]
    Facts(FactsArgs),
    /// Show the files of the stack as they would be, secrets by their names
    #[command(after_help = inspect::RENDER_EXAMPLES)]
    Render(RenderArgs),
    /// Show the inventory as hwctl reads it, in the JSON of `ansible-inventory`
    #[command(after_help = inspect::INVENTORY_EXAMPLES)]
    Inventory(InventoryArgs),
    /// Write an inventory to edit; overwrites nothing
    #[command(after_help = inspect::INIT_EXAMPLES)]
    Init(InitArgs),
    /// Write what a machine needs to provision itself at its first boot: a user-data file for cloud-init, and a bundle
    #[command(after_help = inspect::CLOUD_INIT_EXAMPLES)]
    CloudInit(CloudInitArgs),
    /// Print the completions for a shell
    #[command(after_help = inspect::COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
    /// Write the man pages into a folder
    #[command(after_help = inspect::MAN_EXAMPLES)]
    Man(ManArgs),
    /// On the host: serve one session of hwctl on standard input and output
    #[command(hide = true)]
    Engine {
        /// sshd's `SSH_CONNECTION`
        connection: Option<String>,
    },
    /// On the host: confirm, by a login of its own, what of a run could lock the operator out
    #[command(hide = true)]
    Confirm {
        /// The run's id
        run: String,
    },
    /// On the host: take back what of a run could lock the operator out; a timer calls it
    #[command(hide = true)]
    Revert {
        /// The run's id
        run: String,
    },
    /// On the host: whether HAProxy answers; keepalived calls it
    #[command(hide = true)]
    BalancerAnswers,
    /// On the host: keep what HAProxy knows of the web hosts over a reload; its unit calls it
    #[command(hide = true)]
    BalancerState,
    /// On the host: look at nginx as a client would, before its configuration goes live
    #[command(hide = true)]
    Look,
    /// Disposable real hosts on this Linux machine, for trying things out and for tests
    Lab(LabArgs),
}

/// Where hosts and their variables come from.
#[derive(Clone, Debug, Args)]
pub struct SourceArgs {
    /// Inventory file or folder, or hosts with commas between them; may be given several times
    /// [default: ./inventory.yaml]
    #[arg(
        short,
        long,
        value_name = "PATH",
        env = "HWCTL_INVENTORY",
        hide_env_values = true,
        help_heading = "Hosts"
    )]
    pub inventory: Vec<String>,
    /// Set a variable, such as redis.port=6380; beats the inventory
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Hosts")]
    pub set: Vec<String>,
    /// File with the password of Ansible vaults, or a program that prints it
    #[arg(hide_short_help = true, long, value_name = "PATH", help_heading = "Hosts")]
    pub vault_password_file: Vec<String>,
    /// The same for one vault id
    #[arg(hide_short_help = true, long, value_name = "LABEL@PATH", help_heading = "Hosts")]
    pub vault_id: Vec<String>,
}

/// Which hosts, and how they are reached.
#[derive(Clone, Debug, Args)]
pub struct HostArgs {
    /// Where hosts and their variables come from.
    #[command(flatten)]
    pub sources: SourceArgs,
    /// A host by name or address, in the inventory or not; may be given several times
    #[arg(long, value_name = "HOST", help_heading = "Hosts")]
    pub host: Vec<String>,
    /// Hosts that match an Ansible pattern, such as 'web*:!web3'
    #[arg(short, long, value_name = "PATTERN", help_heading = "Hosts")]
    pub limit: Option<String>,
    /// Boot the disposable lab host `lab1`, if it does not run, and use it
    #[arg(long, conflicts_with_all = ["host", "limit"], help_heading = "Hosts")]
    pub lab: bool,
    /// Work on so many hosts at once
    #[arg(hide_short_help = true, long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..), env = "HWCTL_PARALLEL", hide_env_values = true, help_heading = "Hosts")]
    pub parallel: u16,
    /// Work in batches of so many hosts: the next one begins when all of the last are done. `1,25%`
    /// is one host, then a quarter of all at a time
    #[arg(hide_short_help = true, long, value_name = "N|N%,…", help_heading = "Hosts")]
    pub serial: Option<Batches>,
    /// Start no further host once more than this many have failed [default: 0 with --serial,
    /// otherwise no limit]
    #[arg(hide_short_help = true, long, value_name = "N", help_heading = "Hosts")]
    pub max_failures: Option<usize>,
    /// Login name
    #[arg(short, long, env = "HWCTL_USER", hide_env_values = true, help_heading = "Connection")]
    pub user: Option<String>,
    /// SSH port
    #[arg(short, long, env = "HWCTL_PORT", hide_env_values = true, help_heading = "Connection")]
    pub port: Option<u16>,
    /// Private key file
    #[arg(
        long,
        value_name = "PATH",
        env = "HWCTL_IDENTITY",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub identity: Option<PathBuf>,
    /// File of known host keys [default: ssh's own]
    #[arg(
        hide_short_help = true,
        long,
        value_name = "PATH",
        env = "HWCTL_KNOWN_HOSTS",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub known_hosts: Option<PathBuf>,
    /// Accept the key of a host that ssh does not know yet, without verifying it; a changed key is still refused
    #[arg(hide_short_help = true, long, help_heading = "Connection")]
    pub accept_new_host_key: bool,
    /// Ask for sudo's password
    #[arg(short = 'K', long, help_heading = "Connection")]
    pub ask_become_pass: bool,
    /// The Linux build of hwctl to put on hosts [default: this program]
    #[arg(
        hide_short_help = true,
        long,
        value_name = "PATH",
        env = "HWCTL_HOST_BINARY",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub host_binary: Option<PathBuf>,
    /// Seconds that a connection may take
    #[arg(
        hide_short_help = true,
        long,
        value_name = "SECONDS",
        default_value_t = 10,
        env = "HWCTL_CONNECT_TIMEOUT",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub connect_timeout: u16,
    /// Use the connection of an earlier command and leave it for the next one, for so many seconds
    /// [default without a number: 300]
    #[arg(hide_short_help = true, long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "300", value_parser = clap::value_parser!(u16).range(1..), env = "HWCTL_PERSIST", hide_env_values = true, help_heading = "Connection")]
    pub persist: Option<u16>,
    /// Names, addresses, groups and patterns of [`NamedHosts`].
    #[arg(skip)]
    pub words: Vec<String>,
}

/// Hosts without an option before them, for verbs that take no other words.
#[derive(Clone, Debug, Default, Args)]
pub struct NamedHosts {
    /// Hosts by name, address, group or pattern, such as vm1 or 'web*' '!web3'
    #[arg(value_name = "HOST", help_heading = "Hosts", conflicts_with = "lab")]
    pub named: Vec<String>,
}

impl HostArgs {
    /// The same with hosts that were named without an option.
    #[must_use]
    pub fn and(&self, NamedHosts { named }: &NamedHosts) -> Self {
        Self { words: named.clone(), ..self.clone() }
    }
}
