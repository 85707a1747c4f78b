//! Containers as they are made: with no more of the host than what is said.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Container, Mount, MountSource};

impl Container {
    /// A container that runs its image's own program, can write nowhere, and has at most this memory and so many
    /// processes.
    pub fn new(
        name: impl Into<String>,
        image: impl Into<String>,
        (memory_mib, pids): (u32, u32),
    ) -> Self {
        Self {
            name: name.into(),
            image: image.into(),
            command: Vec::new(),
            user: None,
            mounts: Vec::new(),
            tmpfs: Vec::new(),
            ports: Vec::new(),
            read_only_root: true,
            memory_mib,
            pids,
            healthcheck: None,
            inputs: Vec::new(),
            data: None,
            env: BTreeMap::new(),
            is_launched: false,
            capabilities: Vec::new(),
            networks: Vec::new(),
            variable: None,
            health: None,
            hands_over: false,
        }
    }
}

impl Mount {
    /// A volume or a path that can be written from inside.
    pub fn new(source: MountSource, target: impl Into<PathBuf>) -> Self {
        Self { source, target: target.into(), read_only: false }
    }

    /// The same, and it cannot be written from inside.
    pub fn read_only(source: MountSource, target: impl Into<PathBuf>) -> Self {
        Self { read_only: true, ..Self::new(source, target) }
    }
}
