//! The host's logs: files, journals of units and what containers print, as lines with their time.

mod faults;
mod files;
mod line;
mod newest;
mod streams;
mod tail;

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::sleep;

use crate::engine::driver::Drivers;
use crate::engine::protocol::LogsRequest;
use crate::engine::protocol::input::Halted;
use crate::event::LogLine;
use crate::resource::{Host, containers_named, require_docker};
use crate::spec::{Log, LogSource};

use faults::Faults;
use files::Followed;
use line::Zone;
use newest::Newest;
use streams::{Stream, Told};
pub use tail::tail;

/// How often followed files are looked at.
const EVERY: Duration = Duration::from_millis(200);

/// The logs of one request, opened at their ends.
pub(in crate::engine) struct Logs<'a> {
    host: &'a Host,
    request: &'a LogsRequest,
    open: Vec<OpenLog>,
    zone: Zone,
    files: Vec<Followed>,
    /// How far each log was told.
    told: HashMap<String, Told>,
    /// Why some of them cannot be read, or not whole: that is no reason to show none.
    pub(in crate::engine) unread: Vec<String>,
}

/// A log and how its faults are told from its other lines.
#[derive(Clone, Debug)]
struct OpenLog {
    log: Log,
    faults: Faults,
}

impl<'a> Logs<'a> {
    pub(in crate::engine) async fn open(
        host: &'a Host,
        request: &'a LogsRequest,
        drivers: Drivers,
    ) -> Self {
        let mut open = Vec::new();
        for log in &request.logs {
            let faults = Faults::of(&log.format, drivers);
            open.push(OpenLog { log: found(log, host).await, faults });
        }
        let files = open.iter().filter_map(|open| match &open.log.source {
            LogSource::File(path) => Some(Followed::at_end(host.path(path), open)),
            _ => None,
        });
        let files = files.collect();
        Self {
            host,
            request,
            open,
            zone: Zone::of(host),
            files,
            told: HashMap::new(),
            unread: Vec::new(),
        }
    }

    /// The newest lines that there are, oldest first.
    pub(in crate::engine) async fn newest(&mut self) -> Result<Vec<LogLine>> {
        let mut all = Vec::new();
        for file in &self.files {
            let newest = file
                .newest(self.request, &self.zone)
                .with_context(|| format!("read the log `{}`", file.name()))?;
            self.unread.extend(cut(&newest, file.name()));
            all.extend(newest.into_lines());
        }
        for open in &self.open {
            let log = &open.log;
            let lines = match &log.source {
                LogSource::File(_) => continue,
                LogSource::Unit(unit) => {
                    let read = streams::unit(self.host, unit, open, self.request).await;
                    read.map(|(lines, cursor)| {
                        self.told.entry(log.name.clone()).or_default().cursor = cursor;
                        lines
                    })
                }
                LogSource::Container(name) => {
                    streams::container(self.host, name, open, self.request).await
                }
            };
            match lines {
                Ok(newest) => {
                    self.unread.extend(cut(&newest, &log.name));
                    all.extend(newest.into_lines());
                }
                Err(error) if self.request.logs.len() > 1 => {
                    self.unread.push(format!("the log `{}` cannot be read: {error:#}", log.name));
                }
                Err(error) => {
                    return Err(error.context(format!("read the log `{}`", log.name)));
                }
            }
        }
        // A stable order: what has the same time stays as it was written.
        all.sort_by(|a, b| a.time.cmp(&b.time));
        for line in &all {
            self.told.entry(line.log.clone()).or_default().is_new(line);
        }
        all.drain(..all.len().saturating_sub(self.request.lines));
        Ok(all)
    }

    /// Sends what is written from then on, until the session ends.
    pub(in crate::engine) async fn follow(
        mut self,
        halted: &Halted,
        mut emit: impl FnMut(Vec<LogLine>),
    ) -> Result<()> {
        let (sender, mut streamed) = mpsc::unbounded_channel();
        let mut streams = Vec::new();
        for open in &self.open {
            let told = self.told.get(&open.log.name).cloned().unwrap_or_default();
            let stream = Stream { open: open.clone(), told, request: self.request.clone() };
            match &open.log.source {
                LogSource::File(_) => {}
                LogSource::Unit(unit) => {
                    streams.push(stream.follow_unit(self.host, unit, sender.clone())?);
                }
                LogSource::Container(name) => {
                    // Told above where it does not run.
                    if let Ok(docker) = require_docker(self.host).await {
                        let docker = docker.clone();
                        streams.push(stream.follow_container(docker, name.clone(), sender.clone()));
                    }
                }
            }
        }
        while halted.get().is_none() {
            let mut new = received(&mut streamed);
            for file in &mut self.files {
                new.extend(file.more(self.request, &self.zone)?);
            }
            if !new.is_empty() {
                new.sort_by(|a, b| a.time.cmp(&b.time));
                emit(new);
            }
            sleep(EVERY).await;
        }
        streams.iter().for_each(tokio::task::JoinHandle::abort);
        Ok(())
    }
}

/// What is said of a log with more lines than fit.
fn cut(newest: &Newest, log: &str) -> Option<String> {
    newest.is_cut().then(|| {
        format!("the log `{log}` has more than can be shown at once: its oldest lines are left out")
    })
}

fn received(streamed: &mut UnboundedReceiver<LogLine>) -> Vec<LogLine> {
    std::iter::from_fn(|| streamed.try_recv().ok()).collect()
}

impl LogsRequest {
    /// Whether a line is asked for.
    fn wants(&self, line: &LogLine) -> bool {
        (!self.errors || line.is_error)
            && self.since.is_none_or(|since| line.time >= line::text_of(since))
    }
}

/// A log with the name of the container that is there, if a pattern stands for it.
async fn found(log: &Log, host: &Host) -> Log {
    let mut log = log.clone();
    if let LogSource::Container(name) = &mut log.source
        && let Ok(found) = containers_named(name, host).await
        && let Some(newest) = found.into_iter().next()
    {
        *name = newest;
    }
    log
}
