//! Events as a person reads them: results on standard output, progress and errors beside it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::answer::answer_text;
use super::difference::difference_text;
use super::harmless::harmless;
use super::history;
use super::narrow;
use super::output::{print_error, write_line};
use super::safe_text::indent;
use super::text::{
    Style, Volume, change_text, count, failure_text, host_line, plan_summary, seconds, tally,
};
use super::wrap::hanging;
use crate::event::{
    Action, Event, EventKind, Failure, Finding, HostSummary, Outcome, Planned, Run, Sink,
};

/// So many hosts that are well are named in a summary.
const NAMED: usize = 8;

/// Draws events for a person.
#[derive(Debug)]
pub struct Terminal<W> {
    style: Style,
    state: Mutex<State<W>>,
}

#[derive(Debug)]
struct State<W> {
    out: W,
    bars: MultiProgress,
    hosts: HashMap<String, HostState>,
    /// The host about which the operator is asked something on the terminal.
    asked_about: Option<String>,
    /// What the plans of all hosts do.
    planned: Vec<Action>,
    began: Instant,
    /// How the last host ended, where that is told at the end.
    last_end: Option<String>,
}

#[derive(Debug, Default)]
struct HostState {
    bar: Option<ProgressBar>,
    ids: Vec<String>,
    /// What the plan adds, changes and removes, such as `+40 ~5 -1`.
    tally: String,
    /// How many changes are made. Some are made beside others, so their places in the plan do not
    /// come in order.
    made: usize,
    checks: (usize, usize),
    undone: usize,
    /// What was found to be wrong with it.
    cause: Option<Finding>,
    /// Whether it was asked something and has answered: there is no outcome to tell.
    is_answer: bool,
}

impl HostState {
    /// Which change of how many is under way, such as `[3/48]`.
    fn count(&self) -> String {
        let all = self.ids.len();
        format!("[{}/{all}]", (self.made + 1).min(all))
    }
}

impl<W: Write + Send> Terminal<W> {
    /// To this writer.
    pub fn new(out: W, style: Style) -> Self {
        let target = if style.live { narrow::target() } else { ProgressDrawTarget::hidden() };
        let bars = MultiProgress::with_draw_target(target);
        let state = State {
            out,
            bars,
            hosts: HashMap::new(),
            asked_about: None,
            planned: Vec::new(),
            began: Instant::now(),
            last_end: None,
        };
        Self { style, state: Mutex::new(state) }
    }

    /// What was written.
    pub fn into_inner(self) -> W {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).out
    }
}

impl<W: Write + Send> Sink for Terminal<W> {
    fn event(&self, event: Event) {
        let Ok(event) = harmless(&event) else { return };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let style = self.style;
        let host = event.host.unwrap_or_default();
        match event.what {
            EventKind::Version { .. } | EventKind::RunBegan { .. } => {}
            // What is not worth a word to those who hear of failures alone.
            EventKind::Warning { .. } | EventKind::Kept { .. } | EventKind::PlanDigest { .. }
                if style.volume == Volume::Quiet => {}
            EventKind::Trace { message } => state.note(style, &host, &message),
            EventKind::Warning { message } => {
                let label = style.paint("warning:", "35;1");
                state.say(style, &host_line(&host, &format!("{label} {}", indent(&message))));
            }
            EventKind::Asking => {
                for bar in state.hosts.values_mut().filter_map(|known| known.bar.take()) {
                    bar.finish_and_clear();
                }
                state.asked_about = Some(host);
            }
            EventKind::Step { message, fraction } => {
                state.asked_about.take_if(|asked_about| *asked_about == host);
                // Of what goes on for a while, its end is enough.
                if fraction.is_none_or(|fraction| fraction >= 1.0) {
                    state.note(style, &host, &message);
                }
                state.progress(style, &host, &message, fraction);
            }
            EventKind::Plan { changes } => state.plan(style, &host, &changes),
            EventKind::PlanDigest { digest, file } => {
                state.plan_digest(style, &digest, file.as_deref());
            }
            EventKind::PlanDiffers { came, went, differ } => {
                state.print(&host_line(&host, &difference_text(style, &came, &went, &differ)));
            }
            EventKind::ChangeStarted { id, .. } => {
                let count = state.hosts.entry(host.clone()).or_default().count();
                state.progress(style, &host, &format!("{count} {id}"), None);
            }
            EventKind::ChangeProgress { index, fraction, message } => {
                let known = state.hosts.entry(host.clone()).or_default();
                let id = known.ids.get(index).cloned().unwrap_or_default();
                let message = format!("{} {id}: {message}", known.count());
                state.progress(style, &host, &message, fraction);
            }
            EventKind::ChangeDone { id, elapsed_ms, .. } => {
                state.hosts.entry(host.clone()).or_default().made += 1;
                state.note(style, &host, &format!("{id}: done within {elapsed_ms} ms"));
                if elapsed_ms >= 1000 && style.volume != Volume::Quiet {
                    let tick = style.paint("✓", "32");
                    let line = format!("{tick} {id}  {}", seconds(elapsed_ms));
                    state.print(&host_line(&host, &line));
                }
            }
            EventKind::Check { name, ok, detail } => state.check(style, &host, &name, ok, &detail),
            EventKind::ChangeUndone { .. } => state.hosts.entry(host).or_default().undone += 1,
            EventKind::Failed { failure } => state.failed(style, &host, &failure),
            EventKind::Kept { id, because } => {
                state.say(style, &host_line(&host, &format!("{id} stays: {}", indent(&because))));
            }
            EventKind::Certificate { certificate, served } => {
                state.answer(&host, &super::certificate::text(&certificate, &served));
            }
            EventKind::Diagnosis { findings } => {
                let text = super::diagnosis::text(style, &findings);
                state.answer(&host, &hanging(&text, style.width));
                state.hosts.entry(host).or_default().cause = findings.into_iter().next();
            }
            EventKind::Facts { facts } => state.answer(&host, &super::facts::text(&facts)),
            EventKind::Rendered { path, text } => {
                let head = style.paint(&format!("==> {}", path.display()), "1");
                let text = text.map(|text| format!("\n{}", text.trim_end())).unwrap_or_default();
                state.answer(&host, &format!("{head}{text}"));
            }
            EventKind::History { runs } => state.history(style, &host, &runs),
            EventKind::Done(summary) => state.done(style, &summary),
            EventKind::Summary { hosts } => state.summary(style, &hosts),
            daily => {
                if matches!(daily, EventKind::Restored { .. }) {
                    state.hosts.entry(host.clone()).or_default().is_answer = true;
                }
                if let Some(text) = answer_text(style, &host, &daily) {
                    state.print(&text);
                }
            }
        }
    }
}

impl<W: Write> State<W> {
    /// Prints what was asked for.
    fn answer(&mut self, host: &str, text: &str) {
        let known = self.hosts.entry(host.to_owned()).or_default();
        known.is_answer = known.ids.is_empty();
        if let Some(bar) = known.bar.take() {
            bar.finish_and_clear();
        }
        self.print(&host_line(host, text));
    }

    /// Prints prose above the progress lines.
    fn say(&mut self, style: Style, text: &str) {
        self.print(&hanging(text, style.width));
    }

    /// Prints text as it is above the progress lines.
    fn print(&mut self, text: &str) {
        let Self { out, bars, .. } = self;
        // A reader that went away (`| head`) is no error of the run.
        let _ = bars.suspend(|| write_line(out, text).and_then(|()| out.flush()));
    }

    /// Prints beside the results how something is done, with the time since the beginning.
    fn note(&mut self, style: Style, host: &str, message: &str) {
        if style.volume == Volume::Verbose {
            let seconds = self.began.elapsed().as_secs_f64();
            let text = format!("{seconds:7.2} s  {}", host_line(host, &indent(message)));
            self.bars.suspend(|| print_error(&text));
        }
    }

    fn progress(&mut self, style: Style, host: &str, message: &str, fraction: Option<f32>) {
        // What moves would be drawn over the question.
        if !style.live || self.asked_about.is_some() {
            return;
        }
        let bars = &self.bars;
        let bar = &mut self.hosts.entry(host.to_owned()).or_default().bar;
        let bar = bar.get_or_insert_with(|| {
            let bar = bars.add(ProgressBar::new(1000));
            let template = "{spinner:.cyan} {prefix} {elapsed:>3}  {wide_msg}";
            bar.set_style(
                ProgressStyle::with_template(template)
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar.set_prefix(host.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        // First, since what is too long is cut at its end.
        let percent = fraction.map(|f| format!("{:>3.0} % ", f * 100.0)).unwrap_or_default();
        bar.set_message(format!("{percent}{}", message.replace('\n', " ")));
    }

    fn plan(&mut self, style: Style, host: &str, changes: &[Planned]) {
        let known = self.hosts.entry(host.to_owned()).or_default();
        known.ids = changes.iter().map(|planned| planned.change.id.to_string()).collect();
        let actions: Vec<_> = changes.iter().map(|planned| planned.change.action).collect();
        known.tally = tally(&actions);
        self.planned.extend(actions);
        if style.volume == Volume::Quiet {
            return;
        }
        let text = match (changes.is_empty(), style.diff) {
            (true, _) if style.check => host_line(host, "nothing to change"),
            (true, _) => return,
            (false, true) => {
                let mut text =
                    host_line(host, &format!("{} to make", count(changes.len(), "change")));
                for planned in changes {
                    let _ = write!(text, "\n{}", change_text(style, &planned.change));
                }
                text
            }
            (false, false) => hanging(&host_line(host, &plan_summary(changes)), style.width),
        };
        self.print(&text);
    }

    /// Without changes there is nothing to review.
    fn plan_digest(&mut self, style: Style, digest: &str, file: Option<&Path>) {
        let text = match file {
            Some(file) => format!("plan in {}, digest {digest}", file.display()),
            None if !self.planned.is_empty() => format!("digest {digest}"),
            None => return,
        };
        self.say(style, &text);
    }

    /// A cause that was just told is not told again, only what more there is to do about it.
    fn failed(&mut self, style: Style, host: &str, failure: &Failure) {
        let cause = self.hosts.get_mut(host).and_then(|known| known.cause.take());
        match (cause, &failure.hint) {
            (Some(cause), Some(hint)) if cause.what == failure.what => {
                if *hint != cause.next {
                    self.say(style, &format!("  {} {hint}", style.paint("hint:", "36")));
                }
            }
            _ => self.print(&failure_text(style, host, failure)),
        }
    }

    fn history(&mut self, style: Style, host: &str, runs: &[Run]) {
        let text = match runs {
            [] => "no runs".to_owned(),
            [run] if style.diff => history::detail(run),
            runs => format!("{}\n{}", count(runs.len(), "run"), history::table(runs, style.width)),
        };
        self.hosts.entry(host.to_owned()).or_default().is_answer = true;
        self.print(&host_line(host, &text));
    }

    fn check(&mut self, style: Style, host: &str, name: &str, ok: bool, detail: &str) {
        let checks = &mut self.hosts.entry(host.to_owned()).or_default().checks;
        checks.0 += usize::from(ok);
        checks.1 += 1;
        if !ok {
            let cross = style.paint("✗", "31;1");
            self.say(style, &host_line(host, &format!("{cross} {name}: {}", indent(detail))));
        }
    }

    fn done(&mut self, style: Style, summary: &HostSummary) {
        let known = self.hosts.remove(&summary.host).unwrap_or_default();
        if let Some(bar) = known.bar {
            bar.finish_and_clear();
        }
        if known.is_answer {
            return;
        }
        let changes = count(summary.changes, "change");
        let (word, color) = match summary.outcome {
            // That there is nothing to change is told already.
            Outcome::Unchanged if style.check => return,
            Outcome::Unchanged => ("unchanged".to_owned(), "32"),
            Outcome::Changed if style.check => {
                (format!("{changes} planned ({}), none made", known.tally), "35")
            }
            Outcome::Changed if summary.changes == 0 => ("changed".to_owned(), "35"),
            Outcome::Changed => (format!("changed, {changes}"), "35"),
            Outcome::Restarted => ("restarted and healthy".to_owned(), "32"),
            Outcome::Answered => return,
            Outcome::Failed => ("failed".to_owned(), "31;1"),
            Outcome::Undone => {
                (format!("failed and undone, {} taken back", count(known.undone, "change")), "31;1")
            }
            Outcome::Unreachable => ("unreachable".to_owned(), "31;1"),
            Outcome::Refused => ("refused, nothing was changed".to_owned(), "35"),
            Outcome::Interrupted => (format!("stopped, {changes} made"), "35"),
            Outcome::Skipped => ("not begun: too many others failed".to_owned(), "35"),
        };
        let mut line = format!("{}  {}", style.paint(&word, color), seconds(summary.elapsed_ms));
        if known.checks.1 > 0 {
            let _ =
                write!(line, "  {} of {} checks from outside pass", known.checks.0, known.checks.1);
        }
        let mut text = host_line(&summary.host, &line);
        if style.volume == Volume::Quiet {
            self.last_end = Some(text);
            return;
        }
        for url in &summary.urls {
            let _ = write!(text, "\n  {url}");
        }
        self.print(&text);
    }

    fn summary(&mut self, style: Style, hosts: &[HostSummary]) {
        // What still moves belongs to hosts that will say nothing more.
        let _ = self.bars.clear();
        if let ([_], Some(text)) = (hosts, self.last_end.take()) {
            self.print(&text);
        }
        let is_answer = hosts.iter().all(|host| host.outcome == Outcome::Answered);
        if hosts.len() < 2 || is_answer {
            return;
        }
        let mut text = String::from("summary:");
        for outcome in [
            Outcome::Failed,
            Outcome::Undone,
            Outcome::Unreachable,
            Outcome::Refused,
            Outcome::Interrupted,
            Outcome::Skipped,
            Outcome::Changed,
            Outcome::Restarted,
            Outcome::Unchanged,
            Outcome::Answered,
        ] {
            let names: Vec<_> =
                hosts.iter().filter(|h| h.outcome == outcome).map(|h| h.host.as_str()).collect();
            if names.is_empty() {
                continue;
            }
            let word = format!("{outcome:?}").to_lowercase();
            let _ = write!(text, "\n  {:<11} {:>4}", word, names.len());
            // Of those that are well, only a few are worth a name.
            let is_well =
                matches!(outcome, Outcome::Changed | Outcome::Restarted | Outcome::Unchanged);
            if !is_well || names.len() <= NAMED {
                let _ = write!(text, "  {}", names.join(" "));
            }
        }
        if style.check && !self.planned.is_empty() {
            let changes = count(self.planned.len(), "change");
            let _ = write!(text, "\n  {changes} in all ({})", tally(&self.planned));
        }
        self.say(style, &text);
    }
}

#[cfg(test)]
mod tests;
