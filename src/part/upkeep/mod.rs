//! What looks after a host: its own commands and the rotation of its logs.

pub(super) mod host;
