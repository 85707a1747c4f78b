//! What is said of the parts of a host beyond their resources, as data: it travels with the plan and is
//! kept on the host.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One part of a host, such as the API. What its resources say is not repeated here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PartSpec {
    /// The name that `--only`, `logs` and the like take; the tag of its resources.
    pub name: String,
    /// Its logs, in the order in which they are listed.
    pub logs: Vec<Log>,
}

/// A log by the name that people know it by. Several logs can have one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The name that `logs` takes.
    pub name: String,
    /// Where its lines are.
    pub source: LogSource,
    /// How a line is read.
    pub format: LogFormat,
}

/// Where the lines of a log are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogSource {
    /// A file, and those that it was rotated to. Each line has its own time.
    File(PathBuf),
    /// The journal of a unit of systemd.
    Unit(String),
    /// The standard output and error of a container.
    Container(String),
}

/// Which lines of a log report a fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogFormat {
    /// A web server's access log in the combined format: an answer of 500 or more.
    Combined,
    /// A JSON object a line, with `level` or `status`: a warning, an error, an answer of 500 or more.
    Json,
    /// Text without a known structure: what its source marks as a warning or worse.
    Plain,
    /// Text that only the driver of this name can read.
    Driver(String),
}
