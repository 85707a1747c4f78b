//! The messages that the operator's side and the engine exchange, in frames.
//!
//! Both ends are the same binary, found by its hash, so there are no versions to negotiate.

mod elements;
mod frame;
pub(super) mod input;
mod message;

use std::time::Duration;

pub use frame::{MAX_FRAME, read_frame, skip_to_greeting, write_frame, write_frames};
pub use message::{
    Copied, Examination, Goal, LogsRequest, PlanRequest, Reply, Request, RestartRequest, Restore,
    RunInfo, Status, SwitchRequest, Turn, TurnRequest, Turned,
};

/// The line that the operator's side begins with. What comes before it (a password that sudo did
/// not want) is passed over.
pub const CLIENT_GREETING: &str = "hwctl client";
/// The line that the engine begins with. What comes before it (a login shell's chatter) is passed
/// over.
pub const ENGINE_GREETING: &str = "hwctl engine";
/// The folder on the host that holds hwctl's own binary, once for each version.
pub const BINARY_FOLDER: &str = "/usr/local/lib/hwctl";
/// The link to the version that provisioned the host last, which the host's own commands and timers run.
pub const BINARY_LINK: &str = "/usr/local/lib/hwctl/hwctl";
/// The folder on the host with a file for each part that is out of service. The web server looks for it.
pub const MAINTENANCE_FOLDER: &str = "/etc/hwctl/maintenance";
/// The size of a blob's chunks, in bytes.
pub const CHUNK: usize = 256 << 10;

/// How often each side says that it is still there.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// After so long without a word from the operator's side the engine takes it for gone.
pub const SILENCE: Duration = Duration::from_secs(30);
/// How long a change that could lock the operator out waits for a new login by default, in seconds:
/// ten times what a login over a slow network takes.
pub const CONFIRM_TIMEOUT_S: u64 = 30;
/// The verb of the run after which hwctl has left the host.
pub const DESTROY: &str = "destroy";
