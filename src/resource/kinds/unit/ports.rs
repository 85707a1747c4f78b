//! The ports that a unit listens on, which no other program may have.

use anyhow::{Result, anyhow};

use super::Unit;
use crate::resource::host::listeners::{Listener, listeners};
use crate::resource::model::hint::Advise as _;

impl Unit {
    /// Another program on a port of this unit is refused before anything is changed.
    pub(super) fn require_ports(&self) -> Result<()> {
        if self.ports.is_empty() {
            return Ok(());
        }
        // One that is just being started by somebody else, such as an apt that outlived its run, holds
        // its own port.
        let is_foreign = |listener: &Listener| {
            self.ports.contains(&listener.port)
                && !listener.processes.iter().any(|(pid, _)| self.has_process(*pid))
        };
        let Some(taken) = listeners().into_iter().find(is_foreign) else { return Ok(()) };
        let holder = taken.holder();
        Err(anyhow!("port {} of `{}` is taken by {holder}", taken.port, self.name)).hint(format!(
            "`{}` needs that port to itself, and hwctl stops no program that is not its own: \
                 decide which of the two is to serve on this host",
            self.name
        ))
    }

    /// Whether a process is one of the unit's.
    pub(super) fn has_process(&self, pid: u32) -> bool {
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let own = format!("/{}", self.name);
        groups.lines().any(|group| group.ends_with(&own))
    }
}
