//! Asks whoever sits at the terminal.

use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Result, Write as _};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// Asks for a secret, which does not show while it is typed. An error where nobody can be asked.
pub fn ask_secret(question: &str) -> Result<String> {
    if !console::Term::stderr().is_term() {
        return Err(ErrorKind::NotConnected.into());
    }
    let terminal = File::options().read(true).write(true).open("/dev/tty")?;
    let before = tcgetattr(&terminal)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    // Before the question shows, and without throwing input away: an answer may be typed or pasted at once.
    tcsetattr(&terminal, OptionalActions::Now, &silent)?;
    let answer = answer_to(question, &terminal);
    tcsetattr(&terminal, OptionalActions::Now, &before)?;
    answer
}

fn answer_to(question: &str, mut terminal: &File) -> Result<String> {
    terminal.write_all(question.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(terminal).read_line(&mut answer)?;
    // That of the answer was not shown.
    terminal.write_all(b"\n")?;
    Ok(answer.trim_end_matches(['\r', '\n']).to_owned())
}
