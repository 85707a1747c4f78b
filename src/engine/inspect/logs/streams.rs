//! The journal of a unit, and what a container prints.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use bollard::Docker;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::newest::Newest;
use super::{OpenLog, line};
use crate::engine::protocol::LogsRequest;
use crate::event::LogLine;
use crate::resource::{Host, require_docker};

/// The longest entry of the journal that is read. journalctl leaves out fields of more than 4 KiB, so
/// no entry that can be shown has nearly as much.
const MAX_ENTRY: usize = 1 << 20;
/// How much of what journalctl says when it fails is shown.
const MAX_COMPLAINT: u64 = 4096;

/// The newest lines of a unit's journal, oldest first, and where the journal goes on after them.
pub(super) async fn unit(
    host: &Host,
    unit: &str,
    open: &OpenLog,
    request: &LogsRequest,
) -> Result<(Newest, Option<String>)> {
    let mut args = arguments(unit);
    // Which of them went wrong is known only here. The last one says where it goes on.
    if !request.errors {
        args.push(format!("--lines={}", request.lines.max(1)));
    }
    args.extend(request.since.map(|since| format!("--since=@{since}")));
    let mut child = host
        .command("journalctl")
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("run `journalctl`")?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let complaint = async {
        let mut text = String::new();
        if let Some(stderr) = stderr {
            let _ = stderr.take(MAX_COMPLAINT).read_to_string(&mut text).await;
        }
        text
    };
    let entries = async {
        let mut newest = Newest::of(request.lines.max(1));
        let mut last = None;
        let mut read = BufReader::new(stdout.context("the output of `journalctl`")?);
        let mut json = Vec::new();
        while read_entry(&mut read, &mut json).await? {
            last = cursor(&json).or(last);
            if let Some(line) = entry(&json, open).filter(|line| request.wants(line)) {
                newest.push(line);
            }
        }
        anyhow::Ok((newest, last))
    };
    let (entries, complaint) = tokio::join!(entries, complaint);
    match child.wait().await.context("run `journalctl`")?.success() {
        true => entries,
        false => bail!("`journalctl` fails: {}", complaint.trim()),
    }
}

/// Reads a line of bounded length into `line`; what is longer is passed over whole. False at the end.
async fn read_entry(
    reader: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> std::io::Result<bool> {
    line.clear();
    let mut is_any = false;
    let mut is_long = false;
    loop {
        let bytes = reader.fill_buf().await?;
        if bytes.is_empty() {
            return Ok(is_any);
        }
        is_any = true;
        let end = memchr::memchr(b'\n', bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        is_long |= line.len() + part.len() > MAX_ENTRY;
        match is_long {
            true => line.clear(),
            false => line.extend_from_slice(part),
        }
        let taken = part.len() + usize::from(end.is_some());
        reader.consume(taken);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// The place of an entry in the journal.
fn cursor(json: &[u8]) -> Option<String> {
    let fields: serde_json::Value = serde_json::from_slice(json).ok()?;
    Some(fields["__CURSOR"].as_str()?.to_owned())
}

fn arguments(unit: &str) -> Vec<String> {
    vec![format!("--unit={unit}"), "--output=json".to_owned(), "--no-pager".to_owned()]
}

/// A log that is followed through its program.
pub(super) struct Stream {
    pub(super) open: OpenLog,
    pub(super) told: Told,
    pub(super) request: LogsRequest,
}

/// How far a log was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// Where the journal goes on.
    pub(super) cursor: Option<String>,
    /// The time of the newest line, and the lines of that very time.
    newest: (String, Vec<String>),
}

impl Told {
    /// Takes a line and returns whether it is new. Docker repeats lines where a log is opened again.
    pub(super) fn is_new(&mut self, line: &LogLine) -> bool {
        let (time, texts) = &mut self.newest;
        if line.time < *time || line.time == *time && texts.contains(&line.text) {
            return false;
        }
        if line.time > *time {
            time.clone_from(&line.time);
            texts.clear();
        }
        texts.push(line.text.clone());
        true
    }
}

impl Stream {
    /// Sends a line if it is asked for; false when nobody listens any more.
    fn pass_on(&self, line: LogLine, lines: &UnboundedSender<LogLine>) -> bool {
        !self.request.wants(&line) || lines.send(line).is_ok()
    }

    /// Follows a unit's journal.
    pub(super) fn follow_unit(
        self,
        host: &Host,
        unit: &str,
        lines: UnboundedSender<LogLine>,
    ) -> Result<JoinHandle<()>> {
        let mut args = arguments(unit);
        args.extend(["--follow".to_owned(), "--no-tail".to_owned()]);
        args.push(match &self.told.cursor {
            Some(cursor) => format!("--after-cursor={cursor}"),
            None => format!("--since=@{}", moments_ago()),
        });
        let mut child = host
            .command("journalctl")
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("run `journalctl`")?;
        let stdout = child.stdout.take().context("the output of `journalctl`")?;
        Ok(tokio::spawn(async move {
            // Killed when this task ends.
            let _child = child;
            let mut read = BufReader::new(stdout);
            let mut json = Vec::new();
            while let Ok(true) = read_entry(&mut read, &mut json).await {
                if entry(&json, &self.open).is_some_and(|line| !self.pass_on(line, &lines)) {
                    return;
                }
            }
        }))
    }

    /// Follows what a container prints, also after it was made anew.
    pub(super) fn follow_container(
        mut self,
        docker: Docker,
        name: String,
        lines: UnboundedSender<LogLine>,
    ) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                let options = LogsOptionsBuilder::new()
                    .stdout(true)
                    .stderr(true)
                    .timestamps(true)
                    .follow(true)
                    .since(moments_ago())
                    .build();
                let mut chunks = docker.logs(&name, Some(options));
                while let Some(Ok(chunk)) = chunks.next().await {
                    let bytes = chunk.into_bytes();
                    let new = printed(&bytes, &self.open).filter(|line| self.told.is_new(line));
                    for line in new.collect::<Vec<_>>() {
                        if !self.pass_on(line, &lines) {
                            return;
                        }
                    }
                }
                // It has ended, or is being made anew.
                tokio::time::sleep(super::EVERY).await;
            }
        })
    }
}

/// Early enough for what was written while the newest lines were read.
fn moments_ago() -> i32 {
    i32::try_from(Timestamp::now().as_second() - 5).unwrap_or_default()
}

/// A line of the journal as `journalctl --output=json` has it.
fn entry(json: &[u8], open: &OpenLog) -> Option<LogLine> {
    let fields: serde_json::Value = serde_json::from_slice(json).ok()?;
    let text = match &fields["MESSAGE"] {
        serde_json::Value::String(text) => line::tidy(text.as_bytes()),
        // What is no UTF-8.
        serde_json::Value::Array(bytes) => {
            let bytes = bytes.iter().filter_map(|byte| u8::try_from(byte.as_u64()?).ok());
            line::tidy(&bytes.collect::<Vec<_>>())
        }
        _ => return None,
    };
    let written = fields["__REALTIME_TIMESTAMP"].as_str()?.parse().ok()?;
    let written = Timestamp::from_microsecond(written).ok()?;
    let time = line::text(line::json_time(&text).unwrap_or(written));
    let priority = fields["PRIORITY"].as_str().and_then(|text| text.parse::<u8>().ok());
    let is_error = priority.is_some_and(|priority| priority <= 4) || open.faults.has(&text);
    Some(LogLine { time, log: open.log.name.clone(), is_error, text })
}

/// The newest lines of what a container printed, oldest first.
pub(super) async fn container(
    host: &Host,
    name: &str,
    open: &OpenLog,
    request: &LogsRequest,
) -> Result<Newest> {
    let tail = if request.errors { "all".to_owned() } else { request.lines.max(1).to_string() };
    let since = request.since.and_then(|since| i32::try_from(since).ok()).unwrap_or_default();
    let options = LogsOptionsBuilder::new()
        .stdout(true)
        .stderr(true)
        .timestamps(true)
        .since(since)
        .tail(&tail)
        .build();
    let mut chunks = require_docker(host).await?.logs(name, Some(options));
    let mut newest = Newest::of(request.lines.max(1));
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.with_context(|| format!("the container `{name}`"))?;
        let bytes = chunk.into_bytes();
        let lines = printed(&bytes, open).filter(|line| request.wants(line));
        lines.for_each(|line| newest.push(line));
    }
    Ok(newest)
}

/// Lines as docker gives them, each after its time.
fn printed(bytes: &[u8], open: &OpenLog) -> impl Iterator<Item = LogLine> {
    bytes.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = line::tidy(line);
        let (time, text) = line.split_once(' ')?;
        Some(LogLine {
            time: line::text(time.parse().ok()?),
            log: open.log.name.clone(),
            is_error: open.faults.has(text),
            text: text.to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::inspect::logs::faults::Faults;
    use crate::spec::{Log, LogFormat, LogSource};

    fn open_log(name: &str, faults: Faults) -> OpenLog {
        let source = LogSource::Unit(format!("{name}.service"));
        OpenLog { log: Log { name: name.to_owned(), source, format: LogFormat::Json }, faults }
    }

    #[test]
    fn the_journal_and_docker_tell_the_time() {
        let log = open_log("api", Faults::Json);
        let json = r#"{"MESSAGE":"{\"time\":\"2026-11-24T04:06:16.123Z\",\"level\":\"info\"}","__REALTIME_TIMESTAMP":"1795493176200000","PRIORITY":"6"}"#;
        let told = entry(json.as_bytes(), &log).unwrap();
        assert_eq!((told.time.as_str(), told.is_error), ("2026-11-24T04:06:16.123000Z", false));
        let json =
            r#"{"MESSAGE":[79,107,255],"__REALTIME_TIMESTAMP":"1795493176200000","PRIORITY":"3"}"#;
        let told = entry(json.as_bytes(), &log).unwrap();
        assert_eq!((told.text.as_str(), told.is_error), ("Ok\u{fffd}", true));

        let (mut told, line) = (Told::default(), |time: &str, text: &str| LogLine {
            time: time.to_owned(),
            log: "redis".to_owned(),
            is_error: false,
            text: text.to_owned(),
        });
        let lines = [("2", "a"), ("2", "b"), ("2", "a"), ("1", "c"), ("3", "a")];
        let new = lines.map(|(time, text)| told.is_new(&line(time, text)));
        assert_eq!(new, [true, true, false, false, true], "two lines may have one time");

        let bytes = b"2026-11-24T04:06:16.123456789Z 1:M 24 Nov 2026 04:06:16.123 # down\n";
        let told: Vec<_> = printed(bytes, &log).collect();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].time, "2026-11-24T04:06:16.123456Z");
        assert_eq!(
            (told[0].text.as_str(), told[0].is_error),
            ("1:M 24 Nov 2026 04:06:16.123 # down", false)
        );
    }

    proptest::proptest! {
        #[test]
        fn damaged_entries_are_told_or_passed_over(bytes in crate::damaged::bytes(&[
            br#"{"MESSAGE":"x","__REALTIME_TIMESTAMP":"1795493176200000","PRIORITY":"6","__CURSOR":"s=1"}"#,
            br#"{"MESSAGE":[79,107,255],"__REALTIME_TIMESTAMP":"1795493176200000","PRIORITY":"3"}"#,
            b"2026-11-24T04:06:16.123456789Z 1:M 24 Nov 2026 04:06:16.123 # down\n",
        ])) {
            let log = open_log("x", Faults::Json);
            entry(&bytes, &log);
            cursor(&bytes);
            printed(&bytes, &log).for_each(drop);
        }
    }
}
