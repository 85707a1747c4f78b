//! Looks at the host: how it is, what is wrong, how it differs from what was declared, its logs.

pub(super) mod alone;
pub(super) mod doctor;
pub(super) mod drift;
pub(super) mod facts;
pub(super) mod logs;
pub(super) mod status;
pub(super) mod vitals;
