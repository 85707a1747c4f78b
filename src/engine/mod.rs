//! On the host, as root: reads, plans, applies, keeps the journal, undoes.
//!
//! It speaks frames on its standard input and output and ends with its session. Its rooms import only what is
//! below them: `session`, `run`, `inspect`, `plan`, `record`, `driver`, `protocol`.

mod driver;
#[cfg(test)]
mod goldens;
mod inspect;
mod plan;
pub mod protocol;
mod record;
mod run;
mod session;

pub use driver::dump::{Dump, MAX_COPY_BYTES, check_copy};
pub use driver::trial::{Fault, OwnFile, Trial};
pub use driver::units::Units;
pub use driver::{Alarm, Case, Driver, Drivers, Later, PackageContents, Symptoms};
pub use inspect::alone::{SelfExamination, Space, alarms, examine_self, is_held};
pub use inspect::doctor::Diagnosed;
pub use inspect::logs::tail;
pub use inspect::status::status;
pub use protocol::{Copied, Examination, LogsRequest, Status, Turn, Turned};
pub use record::blobs::Bundle;
pub use record::host_secret::host_secret;
pub use record::specs::kept_parts;
pub use run::deadman::{confirm, revert};
pub use run::rehearsal::check_second_instance;
pub use run::restart::{restart, restart_unit};
pub use session::serve;
