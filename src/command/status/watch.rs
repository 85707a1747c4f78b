//! `hwctl status --watch` and `hwctl top`: a live screen, over one session for each host.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::time::sleep;

use crate::cli::HostArgs;
use crate::command::fleet;
use crate::command::fleet::hosts::{self, Work};
use crate::command::status;
use crate::event::{Check, Vitals};
use crate::failure::{Exit, Failure};
use crate::part::Kinds;
use crate::remote::{Engine, interrupt};
use crate::report::{HostHealth, Style, Trend, document, health_lines, print, top_lines};

/// How often each host is looked at.
const EVERY: Duration = Duration::from_secs(2);
/// Drift costs a plan: it is looked for each so many times.
const DRIFT_EVERY: u32 = 10;

/// Enters the terminal's other screen, without a cursor; and goes back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// What is shown of the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// Each host with its checks, and how much it does.
    Status,
    /// A table of all hosts, those in trouble first.
    Top,
}

/// What is known of a host.
#[derive(Debug)]
struct Seen {
    name: String,
    health: Option<HostHealth>,
    trend: Trend,
}

/// One look at a host.
struct Look {
    health: HostHealth,
    vitals: Option<Vitals>,
}

/// Looks until Ctrl-C; the exit code is that of the last look.
pub(super) fn run(kinds: Kinds, hosts: &HostArgs, view: View, json: bool) -> Result<Exit> {
    let works = hosts::find(kinds, hosts, &hosts::nothing(), |_| ())?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(watch(works, view, json))
}

async fn watch(works: Vec<Work>, view: View, json: bool) -> Result<Exit> {
    // A second Ctrl-C comes while sessions are closed, which is quick.
    interrupt::listen(|| (), || ())?;
    let (sender, mut polls) = mpsc::unbounded_channel();
    let mut known: Vec<_> = works
        .iter()
        .map(|work| Seen { name: work.target.name.clone(), health: None, trend: Trend::default() })
        .collect();
    for (index, work) in works.into_iter().enumerate() {
        tokio::spawn(poll_repeatedly(index, work, sender.clone()));
    }
    drop(sender);
    let screen = Screen::open(view, json);
    screen.draw(&known);
    while let Some((index, look)) = tokio::select! {
        () = interrupt::wanted() => None,
        poll = polls.recv() => poll,
    } {
        let Look { mut health, vitals } = look;
        let trend = &mut known[index].trend;
        if let Some(vitals) = vitals {
            trend.add(vitals);
            health.vitals = Some(trend.document());
        }
        known[index].health = Some(health);
        screen.draw(&known);
    }
    screen.close(&known);
    let is_healthy = |seen: &Seen| seen.health.as_ref().is_none_or(|health| health.healthy);
    Ok(if known.iter().all(is_healthy) { Exit::Done } else { Exit::Failed })
}

/// Looks at one host again and again; a lost session is made anew.
async fn poll_repeatedly(index: usize, work: Work, polls: UnboundedSender<(usize, Look)>) {
    let mut session = None;
    let mut drift = None;
    for round in 0_u32.. {
        let with_drift = round % DRIFT_EVERY == 0 || session.is_none();
        let name = &*work.target.name;
        let look = match poll(&work, &mut session, with_drift, &mut drift).await {
            Ok((checks, vitals)) => {
                Look { health: HostHealth::new(name, checks), vitals: Some(vitals) }
            }
            Err(failure) => Look { health: HostHealth::unknown(name, &failure), vitals: None },
        };
        if polls.send((index, look)).is_err() {
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
) -> Result<(Vec<Check>, Vitals), Failure> {
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
    let vitals = engine.vitals(&|_| ()).await?;
    *session = Some(engine);
    if with_drift {
        *drift = found.checks.last().cloned();
    } else {
        found.checks.extend(drift.clone());
    }
    Ok((found.checks, vitals))
}

/// Where the looks are shown.
struct Screen {
    view: View,
    place: Place,
}

enum Place {
    /// Redrawn in place.
    Live(Style),
    /// A list after another.
    Lists(Style),
    /// A document a line.
    Documents,
}

impl Screen {
    fn open(view: View, json: bool) -> Self {
        let style = fleet::style();
        let place = match (json, std::io::stdout().is_terminal()) {
            (true, _) => Place::Documents,
            (false, false) => Place::Lists(style),
            (false, true) => {
                put(ENTER);
                Place::Live(style)
            }
        };
        Self { view, place }
    }

    fn draw(&self, known: &[Seen]) {
        let is_whole = known.iter().all(|seen| seen.health.is_some());
        match self.place {
            Place::Documents if is_whole => {
                let hosts: Vec<_> = known.iter().filter_map(|seen| seen.health.clone()).collect();
                print(&document(&hosts));
            }
            Place::Lists(style) if is_whole => {
                print(&format!("{}\n", self.view.lines(style, known).join("\n")));
            }
            Place::Live(style) => {
                let (rows, columns) = console::Term::stdout().size();
                put(&frame(self.view, style, (rows.into(), columns.into()), known));
            }
            _ => {}
        }
    }

    /// The last look stays on the usual screen.
    fn close(&self, known: &[Seen]) {
        if let Place::Live(style) = self.place {
            put(LEAVE);
            print(&self.view.lines(style, known).join("\n"));
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Place::Live(_) = self.place {
            put("\x1b[?25h");
        }
    }
}

impl View {
    /// What is known, as lines.
    fn lines(self, style: Style, known: &[Seen]) -> Vec<String> {
        let seen: Vec<_> =
            known.iter().filter_map(|seen| Some((seen.health.as_ref()?, &seen.trend))).collect();
        if self == Self::Top {
            return top_lines(style, &seen);
        }
        let hosts: Vec<_> = seen.iter().map(|(health, _)| (*health).clone()).collect();
        let mut lines = health_lines(style, &hosts);
        lines.push(String::new());
        match seen.as_slice() {
            [(_, trend)] => lines.extend(trend.lines(style.width)),
            several => lines.extend(top_lines(style, several)),
        }
        lines
    }
}

/// One whole picture of this many rows and columns, written over the last: what is the same does
/// not flicker, and terminals that can hold it back until it is complete.
fn frame(view: View, style: Style, (rows, columns): (usize, usize), known: &[Seen]) -> String {
    let now = jiff::Timestamp::now().strftime("%H:%M:%S UTC");
    let verb = if view == View::Top { "top" } else { "status" };
    let mut lines = vec![format!("hwctl {verb}  {now}  Ctrl-C ends"), String::new()];
    lines.extend(view.lines(Style { width: columns, ..style }, known));
    let waiting = known.iter().filter(|seen| seen.health.is_none());
    let waiting: Vec<_> = waiting.map(|seen| seen.name.as_str()).collect();
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
        let seen =
            |name: &str, health| Seen { name: name.to_owned(), health, trend: Trend::default() };
        let vm1 = HostHealth::new("vm1", (0..20).map(check).collect());
        let known = [seen("vm1", Some(vm1)), seen("vm2", None)];
        let sizes = [(24, 80), (5, 30), (50, 200), (1, 1)];
        for (view, (rows, columns)) in
            sizes.iter().flat_map(|size| [(View::Status, *size), (View::Top, *size)])
        {
            let frame = frame(view, style, (rows, columns), &known);
            let lines: Vec<_> = frame.split("\r\n").collect();
            assert!(lines.len() <= rows, "{} lines on {rows} rows", lines.len());
            for line in lines {
                let shown = console::strip_ansi_codes(line);
                assert!(console::measure_text_width(&shown) <= columns, "{shown:?} on {columns}");
            }
        }
    }
}
