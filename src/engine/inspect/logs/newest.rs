//! The newest lines of a log, in bounded memory, and lines of bounded length.

use std::collections::VecDeque;
use std::io::{BufRead, Result};

use super::line::MAX_LINE;
use crate::event::LogLine;

/// How many bytes the lines of one log may take while they are gathered. A log has some 150 bytes a
/// line, so this is some 400,000 lines.
const MAX_BYTES: usize = 64 << 20;

/// The last lines that were pushed, as many as are wanted and fit.
#[derive(Debug)]
pub(super) struct Newest {
    lines: VecDeque<LogLine>,
    room: usize,
    bytes: usize,
    max_bytes: usize,
    is_cut: bool,
}

impl Newest {
    /// At most so many lines.
    pub(super) fn of(room: usize) -> Self {
        Self { lines: VecDeque::new(), room, bytes: 0, max_bytes: MAX_BYTES, is_cut: false }
    }

    /// Adds a newer line; the oldest go where there is no room for it.
    pub(super) fn push(&mut self, line: LogLine) {
        self.bytes += size(&line);
        self.lines.push_back(line);
        while self.lines.len() > self.room || self.bytes > self.max_bytes {
            self.is_cut |= self.lines.len() <= self.room;
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= size(&oldest);
        }
    }

    /// Adds lines that are older than all; those that do not fit are left out.
    pub(super) fn push_older(&mut self, older: Self) {
        self.is_cut |= older.is_cut;
        for line in older.lines.into_iter().rev() {
            if self.is_full() {
                return;
            }
            if self.bytes + size(&line) > self.max_bytes {
                self.is_cut = true;
                return;
            }
            self.bytes += size(&line);
            self.lines.push_front(line);
        }
    }

    /// How many more lines are wanted.
    pub(super) fn free_space(&self) -> usize {
        self.room.saturating_sub(self.lines.len())
    }

    pub(super) fn is_full(&self) -> bool {
        self.free_space() == 0 || self.is_cut
    }

    /// Whether lines that are wanted are left out, because they would take too much memory.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The lines, oldest first.
    pub(super) fn into_lines(self) -> VecDeque<LogLine> {
        self.lines
    }
}

fn size(line: &LogLine) -> usize {
    std::mem::size_of::<LogLine>() + line.text.len() + line.time.len() + line.log.len()
}

/// Reads a line into `line`, without its end. What a line has beyond [`MAX_LINE`] is passed over: a
/// file may have a hole of gigabytes in it, which is one line. False at the end of the input.
pub(super) fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool> {
    line.clear();
    let mut is_any = false;
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(is_any);
        }
        is_any = true;
        let end = memchr::memchr(b'\n', bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        line.extend_from_slice(&part[..part.len().min(MAX_LINE - line.len())]);
        let taken = part.len() + usize::from(end.is_some());
        reader.consume(taken);
        if end.is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read as _};

    use super::*;

    fn line(text: &str) -> LogLine {
        let (time, log) = (String::new(), String::new());
        LogLine { time, log, is_error: false, text: text.to_owned() }
    }

    fn texts(newest: Newest) -> Vec<String> {
        newest.into_lines().into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let hole = std::io::repeat(0).take(1 << 30);
        let mut reader = BufReader::new(b"first\n".chain(hole).chain(&b"\nlast"[..]));
        let mut bytes = Vec::new();

        assert!(read_line(&mut reader, &mut bytes).unwrap());
        assert_eq!(bytes, b"first");
        assert!(read_line(&mut reader, &mut bytes).unwrap());
        assert_eq!((bytes.len(), bytes.capacity() <= 4 * MAX_LINE), (MAX_LINE, true));
        assert!(read_line(&mut reader, &mut bytes).unwrap());
        assert_eq!(bytes, b"last");
        assert!(!read_line(&mut reader, &mut bytes).unwrap());
    }

    #[test]
    fn the_newest_lines_stay_within_their_bounds() {
        let mut newest = Newest { max_bytes: 3 * size(&line("aa")), ..Newest::of(2) };
        for text in ["aa", "bb", "cc"] {
            newest.push(line(text));
        }
        assert!(!newest.is_cut(), "more lines than wanted are no loss");
        assert_eq!(texts(newest), ["bb", "cc"]);

        let mut newest = Newest { max_bytes: 2 * size(&line("aa")), ..Newest::of(9) };
        for text in ["aa", "bb", "cc"] {
            newest.push(line(text));
        }
        assert!(newest.is_cut() && newest.is_full());
        assert_eq!(texts(newest), ["bb", "cc"]);

        let mut newest = Newest { max_bytes: 3 * size(&line("aa")), ..Newest::of(9) };
        newest.push(line("dd"));
        let mut older = Newest::of(9);
        for text in ["aa", "bb", "cc"] {
            older.push(line(text));
        }
        newest.push_older(older);
        assert!(newest.is_cut());
        assert_eq!(texts(newest), ["bb", "cc", "dd"]);
    }
}
