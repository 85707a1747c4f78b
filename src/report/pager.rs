//! A pager for text that is longer than the screen.

use std::env;
use std::io::{Result, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use console::{Term, measure_text_width};

use super::output::print;
use super::safe_text::for_screen;

/// Exit codes of a shell that could not run the pager.
const NOT_RUN: [i32; 2] = [126, 127];

/// Text that is held until it is shown as a whole.
#[derive(Clone, Debug, Default)]
pub struct Paged(Arc<Mutex<Vec<u8>>>);

impl Write for Paged {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Paged {
    /// Adds text, with what a terminal would obey escaped.
    pub fn push(&self, text: &str) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.extend_from_slice(for_screen(text).as_bytes());
    }

    /// Shows the text: in the pager if there may be one and the text is longer than the screen, else as it is.
    pub fn show(&self, may_page: bool) {
        let held = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let text = String::from_utf8_lossy(&held);
        let text = text.trim_end_matches('\n');
        if text.is_empty() {
            return;
        }
        let (rows, columns) = Term::stdout().size();
        let is_long = lines_on_screen(text, columns.into()) >= rows.into();
        let pager = pager(|name| env::var(name).ok()).filter(|_| may_page && is_long);
        if !pager.is_some_and(|pager| page(&pager, text)) {
            print(text);
        }
    }
}

/// The command of the pager: `HWCTL_PAGER`, else `PAGER`, else less. None where it is empty or `cat`.
fn pager(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let named = variable("HWCTL_PAGER").or_else(|| variable("PAGER"));
    let command = named.unwrap_or_else(|| "less".to_owned());
    (!matches!(command.trim(), "" | "cat")).then_some(command)
}

/// Runs the pager until the operator has quit it. Returns whether it ran.
fn page(command: &str, text: &str) -> bool {
    // The variable is a command of the operator's own shell, as for git and man.
    let mut pager = Command::new("sh");
    pager.args(["-c", command]).stdin(Stdio::piped());
    // Ends at once if one screen is enough, takes colours, and leaves the text on the screen.
    if env::var_os("LESS").is_none() {
        pager.env("LESS", "FRX");
    }
    let Ok(mut pager) = pager.spawn() else { return false };
    if let Some(mut stdin) = pager.stdin.take() {
        // Who quits early does not want the rest.
        let _ = writeln!(stdin, "{text}");
    }
    let ended = pager.wait().ok().and_then(|status| status.code());
    !ended.is_some_and(|code| NOT_RUN.contains(&code))
}

fn lines_on_screen(text: &str, columns: usize) -> usize {
    let rows = |line: &str| measure_text_width(line).div_ceil(columns.max(1)).max(1);
    text.lines().map(rows).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pager_is_the_one_that_is_named_for_hwctl() {
        let pager_of = |own: Option<&str>, general: Option<&str>| {
            pager(|name| if name == "PAGER" { general } else { own }.map(str::to_owned))
        };

        assert_eq!(pager_of(None, None).as_deref(), Some("less"));
        assert_eq!(pager_of(None, Some("more")).as_deref(), Some("more"));
        assert_eq!(pager_of(Some("less -S"), Some("more")).as_deref(), Some("less -S"));
        assert_eq!(pager_of(Some(""), Some("more")), None);
        assert_eq!(pager_of(None, Some("cat")), None);
    }

    #[test]
    fn a_long_line_takes_several_of_the_screen() {
        assert_eq!(lines_on_screen("a\n\nabc\n\x1b[31mab\x1b[0m", 2), 1 + 1 + 2 + 1);
    }

    #[test]
    fn a_pager_that_is_not_there_leaves_the_text_to_be_printed() {
        assert!(!page("/nowhere/pager", "text"));
        assert!(page("true", &"text\n".repeat(100_000)), "one that is quit early did run");
    }
}
