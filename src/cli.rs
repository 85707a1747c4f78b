//! The whole command line: clap types only.

mod daily;
mod lab;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use daily::*;
pub use lab::*;

use crate::stack::TAGS;

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
    /// Bring hosts to their declared state: plan, apply, verify from outside
    #[command(after_help = PROVISION_EXAMPLES)]
    Provision(ProvisionArgs),
    /// Show what provision would change, and change nothing (exit code 3: there are changes)
    #[command(after_help = PLAN_EXAMPLES)]
    Plan(LookArgs),
    /// Show how hosts are: services, container, API, certificate, disk, last run and drift
    #[command(after_help = daily::STATUS_EXAMPLES)]
    Status(StatusArgs),
    /// Show logs, of several hosts in one, by time
    #[command(after_help = daily::LOGS_EXAMPLES)]
    Logs(LogsArgs),
    /// Use hosts as a client would: every URL, redirect, header, rule and port, and a real count
    #[command(after_help = daily::VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Log in to a host with the inventory's user, port and key
    #[command(after_help = daily::SSH_EXAMPLES)]
    Ssh(SshArgs),
    /// Run a command on hosts, all at once
    #[command(after_help = daily::EXEC_EXAMPLES)]
    Exec(ExecArgs),
    /// redis-cli in the container: a session, or one command
    #[command(after_help = daily::REDIS_EXAMPLES)]
    Redis(RedisArgs),
    /// Save Redis's data to a file
    #[command(after_help = daily::BACKUP_EXAMPLES)]
    Backup(BackupArgs),
    /// Put Redis's data back from a file, and count what Redis has then
    #[command(after_help = daily::RESTORE_EXAMPLES)]
    Restore(RestoreArgs),
    /// On the host: redis-cli in the container
    #[command(hide = true)]
    RedisCli(RedisCliArgs),
    /// Restart a service without losing a request, and wait until it is healthy
    #[command(after_help = RESTART_EXAMPLES)]
    Restart(RestartArgs),
    /// Show the runs in a host's journal: when, who, what changed, how it ended
    #[command(after_help = HISTORY_EXAMPLES)]
    History(HistoryArgs),
    /// Take hosts back to the state before a run, after showing the plan
    #[command(after_help = ROLLBACK_EXAMPLES)]
    Rollback(RollbackArgs),
    /// Take away everything that hwctl made on hosts, after showing the plan; leave the rest
    #[command(after_help = DESTROY_EXAMPLES)]
    Destroy(DestroyArgs),
    /// The secrets that hosts make for themselves
    Secret(SecretArgs),
    /// Put a new version of the API beside the old one and switch to it once it is healthy
    #[command(after_help = DEPLOY_EXAMPLES)]
    Deploy(DeployArgs),
    /// Find why a host does not serve as it should: the cause, the evidence, the next step
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// The certificate that hosts made for themselves
    Cert(CertArgs),
    /// Show what hosts are: release, architecture, CPUs, memory, versions
    #[command(after_help = FACTS_EXAMPLES)]
    Facts(FactsArgs),
    /// Show the files of the stack as they would be, secrets by their names
    #[command(after_help = RENDER_EXAMPLES)]
    Render(RenderArgs),
    /// Write an inventory to edit; overwrites nothing
    #[command(after_help = INIT_EXAMPLES)]
    Init(InitArgs),
    /// Print the completions for a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
    /// Write the man pages into a folder
    #[command(after_help = MAN_EXAMPLES)]
    Man(ManArgs),
    /// On the host: serve one session of hwctl on standard input and output
    #[command(hide = true)]
    Engine {
        /// sshd's `SSH_CONNECTION`
        connection: Option<String>,
    },
    /// On the host: take back what of a run could lock the operator out; a timer calls it
    #[command(hide = true)]
    Revert {
        /// The run's id
        run: String,
    },
    /// On the host: look at nginx as a client would, before its configuration goes live
    #[command(hide = true)]
    Look {
        /// The address that is looked at
        #[arg(long)]
        to: std::net::IpAddr,
        /// The address that is looked from
        #[arg(long)]
        from: Option<std::net::IpAddr>,
        /// The SHA-256 of the certificate
        #[arg(long)]
        certificate: String,
    },
    /// Disposable real hosts on this Linux machine, for trying things out and for tests
    Lab(LabArgs),
}

const PROVISION_EXAMPLES: &str = "\
Examples:
  hwctl provision --lab                           try it on a disposable host
  hwctl provision --host 37.9.53.237              one host, listed or not
  hwctl provision --limit 'web*' --check --diff   show what would change
  hwctl provision --only sites                    only the pages, in no time
  hwctl provision --skip packages,firewall        all but these parts";

const PLAN_EXAMPLES: &str = "\
Examples:
  hwctl plan --host vm1                           one host of the inventory
  hwctl plan --host vm1 --only nginx --only tls   these parts of the stack
  hwctl plan --json | jq -c 'select(.event == \"plan\")'";

const RESTART_EXAMPLES: &str = "\
Examples:
  hwctl restart --host vm1          the API
  hwctl restart nginx --limit web   nginx, on all hosts of the group `web`
  hwctl restart all --serial 1      Redis, the API and nginx, host by host";

const HISTORY_EXAMPLES: &str = "\
Examples:
  hwctl history --host vm1                   all runs, newest first
  hwctl history 20261124-031432 --host vm1   one run with its changes";

const ROLLBACK_EXAMPLES: &str = "\
Examples:
  hwctl rollback --host vm1                   undo the last run that holds
  hwctl rollback 20261124-031432 --host vm1   undo this run and all after it
  hwctl rollback --host vm1 --check           show what that would change";

const DESTROY_EXAMPLES: &str = "\
Examples:
  hwctl destroy --host vm1 --check              show what would go
  hwctl destroy --host vm1                      keep data and secrets
  hwctl destroy --host vm1 --purge-data --yes   all of it, without a question";

const FACTS_EXAMPLES: &str = "\
Examples:
  hwctl facts --host vm1   one host
  hwctl facts --json | jq 'select(.event == \"facts\").facts.os_version'";

const RENDER_EXAMPLES: &str = "\
Examples:
  hwctl render --host vm1 /etc/nginx       all below this folder
  hwctl render --limit web --to rendered   as files in rendered/HOST/etc/…";

const INIT_EXAMPLES: &str = "\
Examples:
  hwctl init                    ./inventory.yaml
  hwctl init site --templates   the templates too, in ./site";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  source <(hwctl completions bash)   for this shell
  hwctl completions fish > ~/.config/fish/completions/hwctl.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  hwctl man ~/.local/share/man/man1   then `man hwctl`, `man hwctl-plan`
  hwctl man /tmp/man && man /tmp/man/hwctl-doctor.1";

const DEPLOY_EXAMPLES: &str = "\
Examples:
  hwctl deploy --host vm1 --binary ./flask-app   this build, if it is healthy
  hwctl deploy --limit web                       the declared version
  hwctl deploy --host vm1 --rollback             the version before again";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  hwctl doctor --host vm1                     what is wrong, if anything is
  hwctl doctor --host vm1 --url /close        why this page is refused
  hwctl doctor --host vm1 --token - < token   why this token is not taken
  hwctl doctor --host vm1 --fix               mend it, plan shown first";

const SHOW_CERT_EXAMPLES: &str = "\
Examples:
  hwctl cert show --host vm1   fingerprint, names, dates, what is served
  hwctl cert show --json | jq 'select(.event == \"certificate\").served'";

const RENEW_EXAMPLES: &str = "\
Examples:
  hwctl cert renew --host vm1               a new key and certificate now
  hwctl cert renew --if-expires-within 14   where fewer days are left
  hwctl rollback --host vm1                 the pair of before again";

const ROTATE_EXAMPLES: &str = "\
Examples:
  hwctl secret rotate --host vm1   tokens given out before end at once
  hwctl rollback --host vm1        the key of before, and its tokens, again";

/// Which hosts, and how they are reached.
#[derive(Clone, Debug, Args)]
pub struct HostArgs {
    /// Inventory file or folder [default: ./inventory.yaml]
    #[arg(short, long, value_name = "PATH", help_heading = "Hosts")]
    pub inventory: Option<PathBuf>,
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
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..), help_heading = "Hosts")]
    pub parallel: u16,
    /// Work in batches of so many hosts: the next one begins when all of the last are done
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Hosts")]
    pub serial: Option<u16>,
    /// Begin no further host once more than so many have failed [default: with --serial 0, else
    /// no limit]
    #[arg(long, value_name = "N", help_heading = "Hosts")]
    pub max_failures: Option<usize>,
    /// Set a variable, such as redis.port=6380; beats the inventory
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Hosts")]
    pub set: Vec<String>,
    /// Login name
    #[arg(short, long, help_heading = "Connection")]
    pub user: Option<String>,
    /// SSH port
    #[arg(short, long, help_heading = "Connection")]
    pub port: Option<u16>,
    /// Private key file
    #[arg(long, value_name = "PATH", help_heading = "Connection")]
    pub identity: Option<PathBuf>,
    /// File of known host keys [default: ssh's own]
    #[arg(long, value_name = "PATH", help_heading = "Connection")]
    pub known_hosts: Option<PathBuf>,
    /// Take the key of a host that was never seen without asking
    #[arg(long, help_heading = "Connection")]
    pub accept_new_host_key: bool,
    /// Ask for sudo's password
    #[arg(short = 'K', long, help_heading = "Connection")]
    pub ask_become_pass: bool,
    /// The Linux build of hwctl to put on hosts [default: this program]
    #[arg(long, value_name = "PATH", help_heading = "Connection")]
    pub host_binary: Option<PathBuf>,
    /// Seconds that a connection may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10, help_heading = "Connection")]
    pub connect_timeout: u16,
    /// Use the connection of an earlier command and leave it for the next one, for so many seconds
    /// [default without a number: 300]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "300", value_parser = clap::value_parser!(u16).range(1..), env = "HWCTL_PERSIST", hide_env_values = true, help_heading = "Connection")]
    pub persist: Option<u16>,
}

/// What a plan takes into account, and how it is shown.
#[derive(Clone, Debug, Args)]
pub struct PlanArgs {
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// Seconds to wait for what is in the way: another run, a held apt lock, a first boot
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub wait: u32,
    /// Seconds that a change of the firewall or of ssh waits for a new login to work before the
    /// host takes it back by itself
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..))]
    pub confirm_timeout: u16,
    /// One JSON event per line on standard output
    #[arg(long)]
    pub json: bool,
}

/// Which parts of the stack.
#[derive(Clone, Debug, Default, Args)]
pub struct PartArgs {
    /// Only this part of the stack; may be given several times
    #[arg(long, value_name = "TAG", value_delimiter = ',', value_parser = TAGS, help_heading = "Parts")]
    pub only: Vec<String>,
    /// All but this part of the stack; may be given several times
    #[arg(long, value_name = "TAG", value_delimiter = ',', value_parser = TAGS, help_heading = "Parts")]
    pub skip: Vec<String>,
}

/// `hwctl plan`.
#[derive(Clone, Debug, Args)]
pub struct LookArgs {
    /// What to plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Which parts.
    #[command(flatten)]
    pub parts: PartArgs,
}

/// `hwctl provision`.
#[derive(Clone, Debug, Args)]
pub struct ProvisionArgs {
    /// What to plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Which parts.
    #[command(flatten)]
    pub parts: PartArgs,
    /// Change nothing: the same as `hwctl plan`
    #[arg(long)]
    pub check: bool,
    /// Show each change with its before and after
    #[arg(long)]
    pub diff: bool,
    /// Leave a host as a failure left it, for a look, instead of undoing the run
    #[arg(long)]
    pub keep_on_failure: bool,
}

/// `hwctl restart`.
#[derive(Clone, Debug, Args)]
pub struct RestartArgs {
    /// What to restart
    #[arg(value_enum, default_value_t = RestartWhat::Api)]
    pub what: RestartWhat,
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// Seconds to wait for what is in the way: another run
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub wait: u32,
    /// One JSON event per line on standard output
    #[arg(long)]
    pub json: bool,
}

/// What can be restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RestartWhat {
    /// The API: requests wait in its socket meanwhile
    Api,
    /// nginx: a new process takes over, the old one finishes its requests
    Nginx,
    /// Redis's container: counts fail for a moment
    Redis,
    /// Redis, then the API, then nginx
    All,
}

/// `hwctl history`.
#[derive(Clone, Debug, Args)]
pub struct HistoryArgs {
    /// Show only this run, with its changes
    pub run: Option<String>,
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// One JSON event per line on standard output
    #[arg(long)]
    pub json: bool,
}

/// How hosts are taken back to an earlier state.
#[derive(Clone, Debug, Args)]
pub struct BackArgs {
    /// What to plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Only show the plan (exit code 3: there are changes)
    #[arg(long)]
    pub check: bool,
    /// Carry the plan out without a question
    #[arg(long, conflicts_with = "check")]
    pub yes: bool,
}

/// `hwctl rollback`.
#[derive(Clone, Debug, Args)]
pub struct RollbackArgs {
    /// The run before which the host should be [default: the last whose changes are still there]
    pub run: Option<String>,
    /// How.
    #[command(flatten)]
    pub back: BackArgs,
}

/// `hwctl destroy`.
#[derive(Clone, Debug, Args)]
pub struct DestroyArgs {
    /// Remove Redis's volume, the host's secrets and hwctl's journal too
    #[arg(long)]
    pub purge_data: bool,
    /// How.
    #[command(flatten)]
    pub back: BackArgs,
}

/// `hwctl secret`.
#[derive(Debug, Args)]
pub struct SecretArgs {
    /// What to do with secrets.
    #[command(subcommand)]
    pub command: SecretCommand,
}

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Give the API another key for its tokens: those of before are no longer valid
    #[command(after_help = ROTATE_EXAMPLES)]
    Rotate(RotateArgs),
}

/// `hwctl secret rotate`.
#[derive(Clone, Debug, Args)]
pub struct RotateArgs {
    /// What to plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Only show what would change (exit code 3)
    #[arg(long)]
    pub check: bool,
}

/// `hwctl facts`.
#[derive(Clone, Debug, Args)]
pub struct FactsArgs {
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// One JSON event per line on standard output
    #[arg(long)]
    pub json: bool,
}

/// `hwctl render`.
#[derive(Clone, Debug, Args)]
pub struct RenderArgs {
    /// Only these files, or those below these folders of the host
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Write them below this folder, one folder a host, instead of showing them
    #[arg(long, value_name = "FOLDER")]
    pub to: Option<PathBuf>,
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// One JSON event per line on standard output
    #[arg(long)]
    pub json: bool,
}

/// `hwctl init`.
#[derive(Clone, Debug, Args)]
pub struct InitArgs {
    /// Where to
    #[arg(default_value = ".")]
    pub folder: PathBuf,
    /// Write hwctl's templates too: each that stays there is used in the place of hwctl's own, also
    /// when a later hwctl brings a better one
    #[arg(long)]
    pub templates: bool,
}

/// `hwctl completions`.
#[derive(Clone, Debug, Args)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `hwctl man`.
#[derive(Clone, Debug, Args)]
pub struct ManArgs {
    /// Where to
    pub folder: PathBuf,
}

/// `hwctl deploy`.
#[derive(Clone, Debug, Args)]
pub struct DeployArgs {
    /// A static Linux build of the API [default: `api.binary`, else the one that hwctl carries]
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
    /// Switch to the version before the present one, which is still on the host
    #[arg(long, conflicts_with = "binary")]
    pub rollback: bool,
    /// What to plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Only show what would change (exit code 3)
    #[arg(long)]
    pub check: bool,
}

/// `hwctl doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// Look at this path of the host, such as /close
    #[arg(long, value_name = "PATH", value_parser = url_path)]
    pub url: Option<String>,
    /// Look at a token that the API does not take; `-` reads it from standard input
    #[arg(long)]
    pub token: Option<String>,
    /// Do what is safe about it, as a run: provision the part in question, or restart
    #[arg(long)]
    pub fix: bool,
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// Seconds to wait for what is in the way: another run
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub wait: u32,
    /// One JSON event per line on standard output
    #[arg(long)]
    pub json: bool,
    /// Take this for the time of this machine, in seconds since 1970
    #[arg(long, hide = true)]
    pub now: Option<i64>,
}

fn url_path(text: &str) -> Result<String, &'static str> {
    let fits = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| text.to_owned()).ok_or("a path begins with `/` and has no spaces")
}

/// `hwctl cert`.
#[derive(Debug, Args)]
pub struct CertArgs {
    /// What to do with the certificate.
    #[command(subcommand)]
    pub command: CertCommand,
}

/// What to do with the certificate.
#[derive(Debug, Subcommand)]
pub enum CertCommand {
    /// Show its names, dates and fingerprint, and whether it is what is served
    #[command(after_help = SHOW_CERT_EXAMPLES)]
    Show(ShowCertArgs),
    /// Make a new key and certificate on the host and serve them, as a run that can be rolled back
    #[command(after_help = RENEW_EXAMPLES)]
    Renew(RenewArgs),
}

/// `hwctl cert show`.
#[derive(Clone, Debug, Args)]
pub struct ShowCertArgs {
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// One JSON event per line on standard output
    #[arg(long)]
    pub json: bool,
}

/// `hwctl cert renew`.
#[derive(Clone, Debug, Args)]
pub struct RenewArgs {
    /// What to plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Life of the new certificate, in days [default: as the last one]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub days: Option<u16>,
    /// Only if the certificate ends within so many days
    #[arg(long, value_name = "DAYS")]
    pub if_expires_within: Option<u16>,
    /// Only show what would change (exit code 3)
    #[arg(long)]
    pub check: bool,
    /// On the host itself: its timer calls it
    #[arg(long, hide = true)]
    pub here: bool,
}
