//! `hwctl status --watch`: a live screen, over one session for each host.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::time::sleep;

use crate::cli::StatusArgs;
use crate::command::fleet;
use crate::command::fleet::hosts::{self, Work};
use crate::command::status;
use crate::event::Check;
use crate::failure::{Exit, Failure};
use crate::part::Kinds;
use crate::remote::{Engine, interrupt};
use crate::report::{HostHealth, Style, document, health_lines, print};

/// How often each host is looked at.
const EVERY: Duration = Duration::from_secs(2);
/// Drift costs a plan: it is looked for each so many times.
const DRIFT_EVERY: u32 = 10;

/// Enters the terminal's other screen, without a cursor; and goes back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Looks until Ctrl-C; the exit code is that of the last look.
pub(in crate::command) fn run(kinds: Kinds, args: &StatusArgs) -> Result<Exit> {
    let works = hosts::find(kinds, &args.hosts.and(&args.named), &hosts::nothing(), |_| ())?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(watch(works, args.json))
}

async fn watch(works: Vec<Work>, json: bool) -> Result<Exit> {
    // A second Ctrl-C comes while sessions are closed, which is quick.
    interrupt::listen(|| (), || ())?;
    let (sender, mut polls) = mpsc::unbounded_channel();
    let mut known: Vec<Option<HostHealth>> = works.iter().map(|_| None).collect();
    let names: Vec<_> = works.iter().map(|work| work.target.name.clone()).collect();
    for (index, work) in works.into_iter().enumerate() {
        tokio::spawn(poll_repeatedly(index, work, sender.clone()));
    }
    drop(sender);
    let screen = Screen::open(json);
    screen.draw(&names, &known);
    while let Some((index, health)) = tokio::select! {
        () = interrupt::wanted() => None,
        poll = polls.recv() => poll,
    } {
        known[index] = Some(health);
        screen.draw(&names, &known);
    }
    let last: Vec<_> = known.into_iter().flatten().collect();
    screen.close(&last);
    Ok(if last.iter().all(|host| host.healthy) { Exit::Done } else { Exit::Failed })
}

/// Looks at one host again and again; a lost session is made anew.
async fn poll_repeatedly(index: usize, work: Work, polls: UnboundedSender<(usize, HostHealth)>) {
    let mut session = None;
    let mut drift = None;
    for round in 0_u32.. {
        let with_drift = round % DRIFT_EVERY == 0 || session.is_none();
        let health = match poll(&work, &mut session, with_drift, &mut drift).await {
            Ok(checks) => HostHealth::new(&*work.target.name, checks),
            Err(failure) => HostHealth::unknown(&*work.target.name, &failure),
        };
        if polls.send((index, health)).is_err() {
            return;
        }
        sleep(EVERY).await;
    }
}

async fn poll(
    work: &Work,
    session: &mut Option<Engine>,
    with_drift: bool,
    drift: &mut Option<Check>,
) -> Result<Vec<Check>, Failure> {
    // What fails leaves no session behind.
    let mut engine = match session.take() {
        Some(engine) => engine,
        None => Engine::start(&work.target, &|_| ()).await?,
    };
    let (goal, not_compared) = match with_drift {
        true => status::goal(work, &engine),
        false => (None, None),
    };
    let mut found = engine.status(work.parts(), goal, &|_| ()).await?;
    found.checks.extend(not_compared);
    *session = Some(engine);
    if with_drift {
        *drift = found.checks.last().cloned();
    } else {
        found.checks.extend(drift.clone());
    }
    Ok(found.checks)
}

/// Where the looks are shown.
enum Screen {
    /// Redrawn in place.
    Live(Style),
    /// A list after another.
    Lists(Style),
    /// A document a line.
    Documents,
}

impl Screen {
    fn open(json: bool) -> Self {
        let style = fleet::style();
        match (json, std::io::stdout().is_terminal()) {
            (true, _) => Self::Documents,
            (false, false) => Self::Lists(style),
            (false, true) => {
                put(ENTER);
                Self::Live(style)
            }
        }
    }

    fn draw(&self, names: &[String], known: &[Option<HostHealth>]) {
        let hosts: Vec<_> = known.iter().flatten().cloned().collect();
        let is_whole = hosts.len() == names.len();
        match self {
            Self::Documents if is_whole => print(&document(&hosts)),
            Self::Lists(style) if is_whole => {
                let lines = health_lines(*style, &hosts);
                print(&format!("{}\n", lines.join("\n")));
            }
            Self::Live(style) => {
                let waiting = known.iter().zip(names).filter(|(known, _)| known.is_none());
                let waiting: Vec<_> = waiting.map(|(_, name)| name.as_str()).collect();
                let (rows, columns) = console::Term::stdout().size();
                put(&frame(*style, (rows.into(), columns.into()), &hosts, &waiting));
            }
            _ => {}
        }
    }

    /// The last look stays on the usual screen.
    fn close(&self, hosts: &[HostHealth]) {
        if let Self::Live(style) = self {
            put(LEAVE);
            let lines = health_lines(*style, hosts);
            print(&lines.join("\n"));
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Self::Live(_) = self {
            put("\x1b[?25h");
        }
    }
}

/// One whole picture of this many rows and columns, written over the last: what is the same does
/// not flicker, and terminals that can hold it back until it is complete.
fn frame(
    style: Style,
    (rows, columns): (usize, usize),
    hosts: &[HostHealth],
    waiting: &[&str],
) -> String {
    let now = jiff::Timestamp::now().strftime("%H:%M:%S UTC");
    let mut lines = vec![format!("hwctl status  {now}  Ctrl-C ends"), String::new()];
    lines.extend(health_lines(Style { width: columns, ..style }, hosts));
    if !waiting.is_empty() {
        lines.push(format!("… {}", waiting.join(" ")));
    }
    if lines.len() > rows {
        let hidden = lines.len() - rows + 1;
        lines.truncate(rows.saturating_sub(1));
        lines.push(format!("… {hidden} more lines"));
    }
    let fitted = lines.iter().map(|line| console::truncate_str(line, columns, "…"));
    let body = fitted.map(|line| format!("{line}\x1b[K")).collect::<Vec<_>>().join("\r\n");
    format!("\x1b[?2026h\x1b[H{body}\x1b[J\x1b[?2026l")
}

/// A reader that went away (`| head`) is no error.
fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Volume;

    #[test]
    fn a_frame_fits_the_screen_whatever_there_is_to_show() {
        let style = Style {
            color: true,
            live: true,
            width: 80,
            diff: false,
            check: false,
            volume: Volume::Normal,
        };
        let check = |number: usize| Check {
            name: format!("check {number}"),
            ok: number.is_multiple_of(2),
            detail: "word ".repeat(number * 9),
        };
        let hosts = [HostHealth::new("vm1", (0..20).map(check).collect())];
        for (rows, columns) in [(24, 80), (5, 30), (50, 200), (1, 1)] {
            let frame = frame(style, (rows, columns), &hosts, &["vm2"]);
            let lines: Vec<_> = frame.split("\r\n").collect();
            assert!(lines.len() <= rows, "{} lines on {rows} rows", lines.len());
            for line in lines {
                let shown = console::strip_ansi_codes(line);
                assert!(console::measure_text_width(&shown) <= columns, "{shown:?} on {columns}");
            }
        }
    }
}
