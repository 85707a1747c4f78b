//! Lines that a host keeps from run to run. What they say costs time to find out and can be found out
//! again: a host that loses them is slower once.

use std::fs;

use anyhow::Result;

use crate::resource::host::Host;

/// Lines of a file, newest last.
#[derive(Debug)]
pub(in crate::resource) struct KeptLines {
    name: &'static str,
    lines: Vec<String>,
    is_new: bool,
}

impl KeptLines {
    /// Those that the host has by this name.
    pub(in crate::resource) fn load(host: &Host, name: &'static str) -> Self {
        let text = fs::read_to_string(host.kept_path(name)).unwrap_or_default();
        Self { name, lines: text.lines().map(str::to_owned).collect(), is_new: false }
    }

    pub(in crate::resource) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    pub(in crate::resource) fn add(&mut self, line: String) {
        if !self.lines.contains(&line) {
            self.lines.push(line);
            self.is_new = true;
        }
    }

    /// Keeps the newest of them, `most` at most.
    pub(in crate::resource) fn keep(&mut self, most: usize, host: &Host) -> Result<()> {
        if !self.is_new {
            return Ok(());
        }
        let newest = &self.lines[self.lines.len().saturating_sub(most)..];
        host.keep_between_runs(self.name, (newest.join("\n") + "\n").as_bytes())?;
        self.is_new = false;
        Ok(())
    }
}
