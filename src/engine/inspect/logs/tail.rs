//! The last lines of a log as they are, for a failure that shows them.

use std::io::{Read as _, Seek as _, SeekFrom};

use anyhow::{Context as _, Result};
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::TryStreamExt as _;

use super::files::open_file;
use crate::resource::{Host, containers_named, require_docker};
use crate::spec::LogSource;

/// How much of a file's end is read.
const MAX_BYTES: u64 = 16 << 10;

/// The last lines of a log, oldest first.
pub async fn tail(host: &Host, source: &LogSource, lines: usize) -> Result<Vec<String>> {
    let text = match source {
        LogSource::File(path) => {
            let Some(mut file) = open_file(&host.path(path))? else { return Ok(Vec::new()) };
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(MAX_BYTES)))?;
            let mut bytes = Vec::new();
            file.take(MAX_BYTES).read_to_end(&mut bytes)?;
            String::from_utf8_lossy(&bytes).into_owned()
        }
        LogSource::Unit(unit) => {
            let count = lines.to_string();
            let args = ["-u", unit, "-n", &count, "-o", "cat", "--no-pager", "-q"];
            let output = host.output("journalctl", &args).await?;
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        LogSource::Container(name) => {
            let count = lines.to_string();
            let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(&count).build();
            let found = containers_named(name, host).await?;
            let name = found.first().unwrap_or(name);
            let logs = require_docker(host).await?.logs(name, Some(options));
            let chunks: Vec<_> = logs
                .try_collect()
                .await
                .with_context(|| format!("read the log of the container `{name}`"))?;
            chunks.iter().map(ToString::to_string).collect()
        }
    };
    let text = host.without_secrets(text);
    let all: Vec<_> = text.lines().map(str::to_owned).collect();
    Ok(all[all.len().saturating_sub(lines)..].to_vec())
}
