//! Where progress lines are drawn: the terminal, a little narrower than it is. Lines of its full
//! width would be left behind when it echoes `^C`, which would go below them.

use std::io::Result;
use std::sync::atomic::{AtomicU16, Ordering};

use console::{Term, measure_text_width};
use indicatif::{ProgressDrawTarget, TermLike};

/// The width of `^C`, and of the cursor after it.
const LEFT_FREE: u16 = 3;

/// Draws on standard error.
pub(super) fn target() -> ProgressDrawTarget {
    let terminal = Narrow::new(Term::buffered_stderr());
    ProgressDrawTarget::term_like_with_hz(Box::new(terminal), 20)
}

/// A terminal that says it is narrower than it is.
///
/// indicatif ends a line by filling it up to the width, so that the terminal itself goes on to the
/// next one. This terminal is wider than that, so the break has to be written.
#[derive(Debug)]
struct Narrow<T> {
    terminal: T,
    /// Where the cursor is.
    column: AtomicU16,
}

impl<T: TermLike> Narrow<T> {
    fn new(terminal: T) -> Self {
        Self { terminal, column: AtomicU16::new(0) }
    }

    fn at_start_of_line(&self) {
        self.column.store(0, Ordering::Relaxed);
    }
}

impl<T: TermLike> TermLike for Narrow<T> {
    fn width(&self) -> u16 {
        self.terminal.width().saturating_sub(LEFT_FREE)
    }

    fn height(&self) -> u16 {
        self.terminal.height()
    }

    fn move_cursor_up(&self, lines: usize) -> Result<()> {
        self.terminal.move_cursor_up(lines)
    }

    fn move_cursor_down(&self, lines: usize) -> Result<()> {
        self.terminal.move_cursor_down(lines)
    }

    fn move_cursor_right(&self, columns: usize) -> Result<()> {
        self.terminal.move_cursor_right(columns)
    }

    fn move_cursor_left(&self, columns: usize) -> Result<()> {
        self.terminal.move_cursor_left(columns)
    }

    fn write_line(&self, text: &str) -> Result<()> {
        self.at_start_of_line();
        self.terminal.write_line(text)
    }

    fn write_str(&self, text: &str) -> Result<()> {
        if text == "\r" {
            self.at_start_of_line();
            return self.terminal.write_str(text);
        }
        let wide = u16::try_from(measure_text_width(text)).unwrap_or(u16::MAX);
        if wide > 0 && self.column.load(Ordering::Relaxed) >= self.width() {
            self.terminal.write_line("")?;
            self.at_start_of_line();
        }
        self.column.fetch_add(wide, Ordering::Relaxed);
        self.terminal.write_str(text)
    }

    fn clear_line(&self) -> Result<()> {
        self.at_start_of_line();
        self.terminal.clear_line()
    }

    fn flush(&self) -> Result<()> {
        self.terminal.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

    use super::*;

    /// Notes what is written.
    #[derive(Clone, Debug, Default)]
    struct Paper(Arc<Mutex<String>>);

    impl Paper {
        fn put(&self, text: &str) {
            self.0.lock().unwrap().push_str(text);
        }
    }

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            20
        }
        fn move_cursor_up(&self, _: usize) -> Result<()> {
            self.put("<up>");
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> Result<()> {
            self.put("<down>");
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> Result<()> {
            self.put(&format!("{text}\n"));
            Ok(())
        }
        fn write_str(&self, text: &str) -> Result<()> {
            self.put(text);
            Ok(())
        }
        fn clear_line(&self) -> Result<()> {
            Ok(())
        }
        fn flush(&self) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_host_has_a_line_of_its_own() {
        let paper = Paper::default();
        let target = ProgressDrawTarget::term_like(Box::new(Narrow::new(paper.clone())));
        let bars = MultiProgress::with_draw_target(target);
        let style = ProgressStyle::with_template("{wide_msg}").unwrap();
        let made: Vec<_> = ["one", "two", "three"]
            .map(|name| {
                let bar = bars.add(ProgressBar::new(1).with_style(style.clone()));
                bar.set_message(format!("{name} is connecting to its host"));
                bar.tick();
                bar
            })
            .into();

        let text = paper.0.lock().unwrap().clone();
        drop(made);

        let last = text.rsplit("<up>").next().unwrap();
        let lines: Vec<_> = last.trim_start_matches('\r').lines().collect();
        assert_eq!(lines.len(), 3, "{text:?}");
        assert!(lines.iter().all(|line| measure_text_width(line) == 17), "{lines:?}");
    }
}
