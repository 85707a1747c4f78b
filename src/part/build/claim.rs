//! What one part of a host has and no other can have.

use std::path::PathBuf;

/// Something that one part of a host has and no other can have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// A container of Docker, by name.
    Container(String),
    /// A volume of Docker, by name.
    Volume(String),
    /// A user of the host, by name.
    User(String),
    /// A path of the host where a socket is found.
    Socket(PathBuf),
    /// What `logs` and `restart` know by this name.
    Name(String),
}

impl Claim {
    /// What it is, for messages.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Container(name) => format!("the container `{name}`"),
            Self::Volume(name) => format!("the volume `{name}`"),
            Self::User(name) => format!("the user `{name}`"),
            Self::Socket(path) => format!("a socket at `{}`", path.display()),
            Self::Name(name) => {
                format!("the name `{name}`, by which `logs` and `restart` know them")
            }
        }
    }
}
