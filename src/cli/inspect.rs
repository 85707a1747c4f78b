//! The verbs that look, explain and help to begin.

use std::path::PathBuf;

use clap::Args;

use super::{HostArgs, NamedHosts, SourceArgs};

pub(super) const FACTS_EXAMPLES: &str = "\
Examples:
  hwctl facts --host vm1   one host
  hwctl facts --json | jq 'select(.event == \"facts\").facts.os_version'";

pub(super) const RENDER_EXAMPLES: &str = "\
Examples:
  hwctl render --host vm1 /etc/nginx       all below this folder
  hwctl render --limit web --to rendered   as files in rendered/HOST/etc/…";

pub(super) const INVENTORY_EXAMPLES: &str = "\
Examples:
  hwctl inventory --host vm1             the variables of one host
  hwctl inventory --list --limit 'web*'  groups, and these hosts' variables
  hwctl inventory --graph web            which groups and hosts are in a group";

pub(super) const INIT_EXAMPLES: &str = "\
Examples:
  hwctl init --host 192.0.2.10 --user root   ./inventory.yaml for this host
  hwctl init site --templates                the templates too, in ./site";

pub(super) const CLOUD_INIT_EXAMPLES: &str = "\
Examples:
  hwctl cloud-init web --out web --url https://example.com/web.tgz   a group
  hwctl cloud-init vm1 --out vm1 --embed   one host, all in one file";

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  source <(hwctl completions bash)   for this shell
  hwctl completions fish > ~/.config/fish/completions/hwctl.fish";

pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  hwctl man ~/.local/share/man/man1   then `man hwctl`, `man hwctl-plan`
  hwctl man /tmp/man && man /tmp/man/hwctl-doctor.1";

pub(super) const DOCTOR_EXAMPLES: &str = "\
Examples:
  hwctl doctor --host vm1                     what is wrong, if anything is
  hwctl doctor --host vm1 --url /close        why this page is refused
  hwctl doctor --host vm1 --token - < token   why this token is not taken
  hwctl doctor --host vm1 --fix               mend it, plan shown first";

/// `hwctl facts`.
#[derive(Clone, Debug, Args)]
pub struct FactsArgs {
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

/// `hwctl inventory`.
#[derive(Clone, Debug, Args)]
pub struct InventoryArgs {
    /// Groups with their hosts, and the variables of all hosts (default)
    #[arg(long, conflicts_with_all = ["host", "graph"])]
    pub list: bool,
    /// The variables of one host
    #[arg(long, conflicts_with_all = ["graph", "limit"])]
    pub host: Option<String>,
    /// Which groups and hosts are in a group
    #[arg(long, value_name = "GROUP", num_args = 0..=1, default_missing_value = "all")]
    pub graph: Option<String>,
    /// Only hosts that match an Ansible pattern, such as 'web*:!web3'
    #[arg(short, long, value_name = "PATTERN", help_heading = "Hosts", conflicts_with = "graph")]
    pub limit: Option<String>,
    /// Where hosts and their variables come from.
    #[command(flatten)]
    pub sources: SourceArgs,
}

/// `hwctl init`.
#[derive(Clone, Debug, Args)]
pub struct InitArgs {
    /// Where to
    #[arg(default_value = ".")]
    pub folder: PathBuf,
    /// The address or name of your host
    #[arg(long)]
    pub host: Option<String>,
    /// Login name on it [default: ubuntu]
    #[arg(short, long)]
    pub user: Option<String>,
    /// Write hwctl's templates too: each that stays there is used in the place of hwctl's own, also
    /// when a later hwctl brings a better one
    #[arg(long)]
    pub templates: bool,
}

/// `hwctl cloud-init`.
#[derive(Clone, Debug, Args)]
#[command(group = clap::ArgGroup::new("way").required(true))]
pub struct CloudInitArgs {
    /// A host of the inventory, or a group that the machines will be in
    #[arg(value_name = "HOST|GROUP")]
    pub name: String,
    /// Write `user-data` and `bundle.tar.gz` into this folder
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// Where you will put the bundle; machines fetch it from there, and check its SHA-256
    #[arg(long, value_name = "URL", group = "way", value_parser = bundle_url)]
    pub url: Option<String>,
    /// Put the bundle into the user-data itself, which gets some 16 MB long
    #[arg(long, group = "way")]
    pub embed: bool,
    /// The hwctl that goes to the machines, if not this one
    #[arg(hide_short_help = true, long, value_name = "PATH")]
    pub host_binary: Option<PathBuf>,
    /// Where hosts and their variables come from.
    #[command(flatten)]
    pub sources: SourceArgs,
}

fn bundle_url(text: &str) -> Result<String, &'static str> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let (host, path) = rest.and_then(|rest| rest.split_once('/')).unwrap_or_default();
    let is_host = !host.is_empty() && !host.contains(['@', '[', ']']);
    let fits = is_host && !path.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| text.to_owned())
        .ok_or("write a URL such as https://files.example.com/web.tar.gz, without a login")
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

/// `hwctl doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// Hosts that are named without `--host`.
    #[command(flatten)]
    pub named: NamedHosts,
    /// Explain the answer to a request for this path, such as /close
    #[arg(long, value_name = "PATH", value_parser = url_path)]
    pub url: Option<String>,
    /// Explain why the API rejects this token; `-` reads it from standard input
    #[arg(long)]
    pub token: Option<String>,
    /// Fix what is safe to fix, without asking: provision the affected part, or restart the service
    #[arg(long)]
    pub fix: bool,
    /// Which hosts.
    #[command(flatten)]
    pub hosts: HostArgs,
    /// Seconds to wait for another run on the host to finish
    #[arg(hide_short_help = true, long, value_name = "SECONDS", default_value_t = 600)]
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
