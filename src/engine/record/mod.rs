//! What the engine keeps on the host from run to run, and the lock of a run.

pub(super) mod blobs;
pub(super) mod format;
pub(super) mod host_secret;
pub(super) mod journal;
pub(super) mod large;
pub(super) mod lock;
pub(super) mod maintenance;
pub(super) mod manifest;
pub(super) mod specs;
pub(super) mod step;
