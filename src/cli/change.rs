//! The verbs that change hosts, and those that take a change back.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use hwctl_limits::CERTIFICATE_DAYS;

use super::{HostArgs, NamedHosts};

pub(super) const PROVISION_EXAMPLES: &str = "\
Examples:
  hwctl provision --lab                           try it on a disposable host
  hwctl provision --host 192.0.2.10               one host, listed or not
  hwctl provision --limit 'web*' --check --diff   show what would change
  hwctl provision --only sites                    only the pages, in no time
  hwctl provision --plan plan.json                a plan that was reviewed

Parts: packages, tls, sites, nginx, redis, api, host and firewall. An unknown
name is refused with the names that there are.";

pub(super) const PLAN_EXAMPLES: &str = "\
Examples:
  hwctl plan --host vm1                           one host of the inventory
  hwctl plan --host vm1 --only nginx --only tls   these parts of the stack
  hwctl plan --out plan.json                      for a review
  hwctl plan --json | jq -c 'select(.event == \"plan\")'";

pub(super) const RESTART_EXAMPLES: &str = "\
Examples:
  hwctl restart --host vm1          the API
  hwctl restart nginx --limit web   nginx, on all hosts of the group `web`
  hwctl restart all --serial 1      Redis, the API and nginx, host by host

Requests to the API wait in its socket while it restarts. A new process of
nginx takes over, and the old one finishes its requests. While Redis restarts,
counts fail for a moment.";

pub(super) const MAINTENANCE_EXAMPLES: &str = "\
Examples:
  hwctl maintenance on shop --host vm1  clients of the app get 503 and a page
  hwctl maintenance off                 all apps are back, on all hosts

The app goes on running, and so do its health checks. It stays out of service
over runs and reboots, until `off`. Other paths of the host do not notice.";

pub(super) const HISTORY_EXAMPLES: &str = "\
Examples:
  hwctl history --host vm1                   all runs, newest first
  hwctl history 20261124-031432 --host vm1   one run with its changes";

pub(super) const ROLLBACK_EXAMPLES: &str = "\
Examples:
  hwctl rollback --host vm1                   undo the last run that holds
  hwctl rollback 20261124-031432 --host vm1   undo this run and all after it
  hwctl rollback --host vm1 --check           show what that would change";

pub(super) const DESTROY_EXAMPLES: &str = "\
Examples:
  hwctl destroy --host vm1 --check              show what would go
  hwctl destroy --host vm1                      keep data and secrets
  hwctl destroy --host vm1 --purge-data --yes   all of it, without a question";

pub(super) const DEPLOY_EXAMPLES: &str = "\
Examples:
  hwctl deploy --host vm1 --binary ./flask-app   this build of the API
  hwctl deploy shop --limit web                  the declared version of an app
  hwctl deploy shop --host vm1 --rollback        the version before again";

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

/// What a plan takes into account, and how it is shown.
#[derive(Clone, Debug, Args)]
pub struct PlanArgs {
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// Seconds to wait for another run, the apt lock or the first boot (cloud-init) to finish
    #[arg(hide_short_help = true, long, value_name = "SECONDS", default_value_t = 600)]
    pub wait: u32,
    /// Seconds that a change of the firewall or of ssh waits for a new login to work before the
    /// host takes it back by itself; a host with slow logins gets more
    #[arg(hide_short_help = true, long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..))]
    pub confirm_timeout: u16,
    /// One JSON event per line on standard output
    #[arg(long)]
    pub json: bool,
}

/// Which parts of the stack.
#[derive(Clone, Debug, Default, Args)]
pub struct PartArgs {
    /// Only this part, such as nginx; may be given several times
    #[arg(long, value_name = "PART", value_delimiter = ',', help_heading = "Parts")]
    pub only: Vec<String>,
    /// All but this part; may be given several times
    #[arg(long, value_name = "PART", value_delimiter = ',', help_heading = "Parts")]
    pub skip: Vec<String>,
}

/// `hwctl plan`.
#[derive(Clone, Debug, Args)]
pub struct PlanOnlyArgs {
    /// Hosts that are named without `--host`.
    #[command(flatten)]
    pub named: NamedHosts,
    /// What to plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Which parts.
    #[command(flatten)]
    pub parts: PartArgs,
    /// Count the changes of each part instead of showing them
    #[arg(long)]
    pub summary: bool,
    /// Write the plan to this file, for a review; `hwctl provision --plan` carries it out
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `hwctl provision`.
#[derive(Clone, Debug, Args)]
pub struct ProvisionArgs {
    /// Hosts that are named without `--host`.
    #[command(flatten)]
    pub named: NamedHosts,
    /// What to plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Which parts.
    #[command(flatten)]
    pub parts: PartArgs,
    /// Change nothing: the same as `hwctl plan`
    #[arg(long)]
    pub check: bool,
    /// Change hosts only if their plans are those of this file, which `hwctl plan --out` wrote (else
    /// exit code 3)
    #[arg(id = "reviewed", long = "plan", value_name = "FILE", conflicts_with = "check")]
    pub reviewed: Option<PathBuf>,
    /// Change hosts only if their plans have this digest, which `hwctl plan` printed (else exit code 3)
    #[arg(long, value_name = "DIGEST", value_parser = digest, conflicts_with = "check")]
    pub expect: Option<String>,
    /// Show each change with its before and after
    #[arg(long)]
    pub diff: bool,
    /// Leave a host as a failure left it, for a look, instead of undoing the run
    #[arg(hide_short_help = true, long)]
    pub keep_on_failure: bool,
}

fn digest(text: &str) -> Result<String, &'static str> {
    let is_digest = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest.then(|| text.to_lowercase()).ok_or("a digest has 64 digits, 0 to 9 and a to f")
}

/// `hwctl restart`.
#[derive(Clone, Debug, Args)]
pub struct RestartArgs {
    /// What to restart: api, nginx, redis, what another part has, or all
    #[arg(value_name = "SERVICE", default_value = "api")]
    pub what: String,
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

/// `hwctl maintenance`.
#[derive(Clone, Debug, Args)]
pub struct MaintenanceArgs {
    /// Whether the apps are out of service from now on
    pub state: Switch,
    /// Which apps [default: all]
    #[arg(value_name = "APP")]
    pub apps: Vec<String>,
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

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Out of service
    On,
    /// Back in service
    Off,
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
    /// Hosts that are named without `--host`.
    #[command(flatten)]
    pub named: NamedHosts,
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
    /// Hosts that are named without `--host`.
    #[command(flatten)]
    pub named: NamedHosts,
    /// What to plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Only show what would change (exit code 3)
    #[arg(long)]
    pub check: bool,
}

/// `hwctl deploy`.
#[derive(Clone, Debug, Args)]
pub struct DeployArgs {
    /// What to deploy: the API, or an app of yours
    #[arg(value_name = "APP", default_value = "api")]
    pub app: String,
    /// A static Linux build of the API [default: `api.binary`, else the one that hwctl carries]
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
    /// Switch to the version before the present one
    #[arg(long, conflicts_with = "binary")]
    pub rollback: bool,
    /// What to plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Only show what would change (exit code 3)
    #[arg(long)]
    pub check: bool,
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

/// What `tls.days` of an inventory may be.
fn days() -> RangeInclusive<i64> {
    i64::from(*CERTIFICATE_DAYS.start())..=i64::from(*CERTIFICATE_DAYS.end())
}

/// `hwctl cert renew`.
#[derive(Clone, Debug, Args)]
pub struct RenewArgs {
    /// Hosts that are named without `--host`.
    #[command(flatten)]
    pub named: NamedHosts,
    /// What to plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Life of the new certificate, in days [default: as the last one]
    #[arg(long, value_parser = clap::value_parser!(u16).range(days()))]
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
