//! A command on the host that looks at a new file before it takes its place.

use std::path::Path;

use anyhow::{Result, anyhow};

use super::File;
use crate::resource::host::fs::{make_private, write_atomic};
use crate::resource::host::path_state::PathState;
use crate::resource::host::{Host, last_lines};
use crate::resource::kinds::kind::Kind as _;
use crate::resource::model::digest::sha256;
use crate::resource::model::hint::Advise as _;

/// Stands for the path of the new file in the command.
const PLACE: &str = "%s";

/// A program whose answer depends on its arguments alone, so that a plan can ask it before anything changes.
const CALENDAR_CHECK: &str = "systemd-analyze";

/// A folder that is removed with all that is in it, whatever happens before.
struct RemovedAtEnd<'a>(&'a Path);

impl Drop for RemovedAtEnd<'_> {
    fn drop(&mut self) {
        // It lies in memory, and the next boot clears it in any case.
        let _ = std::fs::remove_dir_all(self.0);
    }
}

impl File {
    /// Runs the command in a plan already, where the file is going to change and the answer depends on neither the file
    /// nor the host.
    pub(super) async fn require_accepted_beforehand(
        &self,
        state: &PathState,
        host: &Host,
    ) -> Result<()> {
        let [program, arguments @ ..] = self.validate.as_slice() else { return Ok(()) };
        let mentions_file = self.validate.iter().any(|word| word.contains(PLACE));
        if program != CALENDAR_CHECK || mentions_file || self.diff(state, host)?.is_none() {
            return Ok(());
        }
        // A host that lacks the program says so when the change is made.
        let Ok(output) = host.output(program, arguments).await else { return Ok(()) };
        match output.status.success() {
            true => Ok(()),
            false => self.refused(&last_lines(&output, 5)),
        }
    }

    /// Runs the command that checks the file on a copy of the new one, where there is such a command. Only root can
    /// read the copy.
    pub(super) async fn require_accepted(&self, bytes: &[u8], host: &Host) -> Result<()> {
        let [program, arguments @ ..] = self.validate.as_slice() else { return Ok(()) };
        let digest = sha256(self.path.as_os_str().as_encoded_bytes());
        let folder = host.path(&Path::new("/run").join(format!("hwctl-new-{}", &digest[..12])));
        let _removed = RemovedAtEnd(&folder);
        make_private(&folder)?;
        let copy = folder.join(self.path.file_name().unwrap_or_default());
        write_atomic(&copy, bytes, 0o600, None)?;
        let copy = copy.display().to_string();
        let filled: Vec<_> = arguments.iter().map(|word| word.replace(PLACE, &copy)).collect();
        let words: Vec<&str> = filled.iter().map(String::as_str).collect();
        let program = program.replace(PLACE, &copy);
        let output = host.output(&program, &words).await?;
        if output.status.success() {
            return Ok(());
        }
        // What a program says of a file with secrets may quote them.
        let told = match self.content.is_secret() {
            true => format!("it {}", output.status),
            false => last_lines(&output, 5).replace(&copy, &self.path.display().to_string()),
        };
        self.refused(&told)
    }

    fn refused(&self, told: &str) -> Result<()> {
        let command = self.validate.join(" ");
        Err(anyhow!("`{command}` refuses the new `{}`: {told}", self.path.display()))
            .hint("correct what the inventory says of it")
    }
}
