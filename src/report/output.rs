//! Where text leaves the process. Nothing else in hwctl writes to standard output or standard error,
//! save for the protocol of the engine and what the terminal itself is told (its other screen).

use std::io::Write;

use super::safe_text::for_screen;

/// Prints a line for a person to standard output.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    // A reader that went away (`| head`) is no error.
    let _ = write_line(&mut out, text).and_then(|()| out.flush());
}

/// Prints a line for a person to standard error.
pub fn print_error(text: &str) {
    let _ = write_line(&mut std::io::stderr().lock(), text);
}

/// Writes a line for a person.
pub(super) fn write_line(out: &mut impl Write, text: &str) -> std::io::Result<()> {
    writeln!(out, "{}", for_screen(text))
}
