//! Log files and those they were rotated to, read from their ends.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::read::MultiGzDecoder;

use super::OpenLog;
use super::line::{self, Zone};
use super::newest::{Newest, read_line};
use crate::engine::protocol::LogsRequest;
use crate::event::LogLine;

/// How many rotated files are looked for.
const ROTATED: u32 = 400;
/// How much of a file that is followed is read at each look.
const MAX_LOOK: u64 = 16 << 20;
/// The longest line that is held while it is incomplete.
const MAX_PART: usize = 64 << 10;

/// What a log was rotated to.
fn open_rotated(path: &Path, number: u32) -> Result<Option<Box<dyn BufRead>>> {
    let named = |suffix: &str| {
        let mut name: OsString = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    if let Some(file) = open_file(&named(&format!(".{number}")))? {
        return Ok(Some(Box::new(BufReader::new(file))));
    }
    let packed = open_file(&named(&format!(".{number}.gz")))?;
    Ok(packed.map(|file| Box::new(BufReader::new(MultiGzDecoder::new(file))) as Box<dyn BufRead>))
}

/// Opens a regular file. A symbolic link could lead anywhere and is passed over.
pub(super) fn open_file(path: &Path) -> Result<Option<File>> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = no_follow.bits().cast_signed();
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(Some(file)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("open `{}`", path.display())),
    }
}

/// The last lines of a file that are wanted, and whether older files may have some, too.
fn last(
    mut reader: Box<dyn BufRead>,
    room: usize,
    open: &OpenLog,
    request: &LogsRequest,
    zone: &Zone,
) -> Result<(Newest, bool)> {
    let mut kept = Newest::of(room);
    let mut parser = Parser::new(open);
    let mut oldest = None;
    let mut bytes = Vec::new();
    while read_line(&mut reader, &mut bytes)? {
        let line = parser.line(&bytes, zone);
        oldest.get_or_insert_with(|| line.time.clone());
        if request.wants(&line) {
            kept.push(line);
        }
    }
    let since = request.since.map(line::text_of);
    let reaches_further = since.is_none_or(|since| oldest.is_none_or(|oldest| oldest >= since));
    Ok((kept, reaches_further))
}

/// Gives lines their time. A line without one has that of the line before.
#[derive(Debug)]
struct Parser {
    open: OpenLog,
    time: String,
    is_error: bool,
}

impl Parser {
    fn new(open: &OpenLog) -> Self {
        Self { open: open.clone(), time: line::text_of(0), is_error: false }
    }

    fn line(&mut self, bytes: &[u8], zone: &Zone) -> LogLine {
        let text = line::tidy(bytes);
        if let Some(time) = zone.time(&text) {
            self.time = line::text(time);
            self.is_error = self.open.faults.has(&text);
        }
        let (time, log) = (self.time.clone(), self.open.log.name.clone());
        LogLine { time, log, is_error: self.is_error, text }
    }
}

/// A file that is followed, also to the one that takes its place.
#[derive(Debug)]
pub(super) struct Followed {
    path: PathBuf,
    log: Parser,
    file: Option<(u64, File)>,
    part: Vec<u8>,
}

impl Followed {
    /// From its end on.
    pub(super) fn at_end(path: PathBuf, open: &OpenLog) -> Self {
        let mut followed = Self { path, log: Parser::new(open), file: None, part: Vec::new() };
        followed.file = followed.found().map(|(number, mut file)| {
            let _ = file.seek(SeekFrom::End(0));
            (number, file)
        });
        followed
    }

    /// The name of the log.
    pub(super) fn name(&self) -> &str {
        &self.log.open.log.name
    }

    fn found(&self) -> Option<(u64, File)> {
        let file = open_file(&self.path).ok()??;
        Some((file.metadata().ok()?.ino(), file))
    }

    /// The newest lines before its place in the file, oldest first.
    pub(super) fn newest(&self, request: &LogsRequest, zone: &Zone) -> Result<Newest> {
        let mut newest = Newest::of(request.lines);
        for number in 0..ROTATED {
            let reader = match number {
                0 => self.before(),
                number => open_rotated(&self.path, number)?,
            };
            let Some(reader) = reader else {
                // The newest may just have been rotated, and not be there again.
                if number == 0 {
                    continue;
                }
                break;
            };
            let (older, reaches_further) =
                last(reader, newest.free_space(), &self.log.open, request, zone)?;
            newest.push_older(older);
            if newest.is_full() || !reaches_further {
                break;
            }
        }
        Ok(newest)
    }

    /// The file up to its place in it.
    fn before(&self) -> Option<Box<dyn BufRead>> {
        let (number, file) = self.file.as_ref()?;
        let place = (&*file).stream_position().ok()?;
        let (_, again) = self.found().filter(|(now, _)| now == number)?;
        Some(Box::new(BufReader::new(again.take(place))))
    }

    /// What was written since the last time.
    pub(super) fn more(&mut self, request: &LogsRequest, zone: &Zone) -> Result<Vec<LogLine>> {
        let mut lines = self.rest(request, zone)?;
        let now = std::fs::symlink_metadata(&self.path).ok().map(|found| found.ino());
        if now.is_some() && now != self.file.as_ref().map(|(number, _)| *number) {
            self.file = self.found();
            lines.extend(self.rest(request, zone)?);
        }
        Ok(lines)
    }

    fn rest(&mut self, request: &LogsRequest, zone: &Zone) -> Result<Vec<LogLine>> {
        let Some((_, file)) = &mut self.file else { return Ok(Vec::new()) };
        // Truncated in place: from its new beginning.
        if file.metadata()?.len() < file.stream_position()? {
            file.rewind()?;
        }
        let mut lines = Vec::new();
        // What more there is comes at the next look.
        let mut reader = BufReader::new((&*file).take(MAX_LOOK));
        while reader.by_ref().take(MAX_PART as u64).read_until(b'\n', &mut self.part)? > 0 {
            if self.part.ends_with(b"\n") || self.part.len() >= MAX_PART {
                let line = self.log.line(&self.part, zone);
                self.part.clear();
                if request.wants(&line) {
                    lines.push(line);
                }
            }
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::engine::inspect::logs::faults::Faults;
    use crate::resource::Host;
    use crate::spec::{Log, LogFormat, LogSource};

    fn access(second: u32, status: u32) -> String {
        format!(
            "192.0.2.1 - - [24/Nov/2026:04:06:{second:02} +0000] \"GET / HTTP/1.1\" {status} 1\n"
        )
    }

    fn request(lines: usize) -> LogsRequest {
        LogsRequest { logs: vec![], lines, since: None, errors: false, follow: false }
    }

    fn seconds(lines: &[LogLine]) -> Vec<&str> {
        lines.iter().map(|line| &line.time[17..19]).collect()
    }

    fn open_log(path: &Path) -> OpenLog {
        let source = LogSource::File(path.to_owned());
        let log = Log { name: "main".to_owned(), source, format: LogFormat::Combined };
        OpenLog { log, faults: Faults::Combined }
    }

    /// The time zone of a host that names none.
    fn zone() -> Zone {
        Zone::of(&Host::new("/nowhere", Box::new(|_| anyhow::bail!("")), Box::new(|_| ())))
    }

    #[test]
    fn lines_are_found_across_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("main_access.log");
        let log = open_log(&path);
        let zone = zone();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(format!("{}{}", access(1, 200), access(2, 500)).as_bytes()).unwrap();
        std::fs::write(folder.path().join("main_access.log.2.gz"), packed.finish().unwrap())
            .unwrap();
        std::fs::write(folder.path().join("main_access.log.1"), access(3, 200)).unwrap();
        std::fs::write(&path, access(4, 200) + &access(5, 404)).unwrap();
        let found = |request: &LogsRequest| {
            let newest = Followed::at_end(path.clone(), &log).newest(request, &zone).unwrap();
            Vec::from(newest.into_lines())
        };

        assert_eq!(seconds(&found(&request(99))), ["01", "02", "03", "04", "05"]);
        assert_eq!(seconds(&found(&request(3))), ["03", "04", "05"]);
        let errors = LogsRequest { errors: true, ..request(99) };
        assert_eq!(seconds(&found(&errors)), ["02"]);
        let since: jiff::Timestamp = "2026-11-24T04:06:03Z".parse().unwrap();
        let late = LogsRequest { since: Some(since.as_second()), ..request(99) };
        assert_eq!(seconds(&found(&late)), ["03", "04", "05"]);

        // Followed over a rotation, and a line that is not whole yet is waited for.
        let mut followed = Followed::at_end(path.clone(), &log);
        let all = request(99);
        assert_eq!(followed.more(&all, &zone).unwrap(), []);
        std::fs::rename(&path, folder.path().join("main_access.log.0")).unwrap();
        std::fs::write(&path, access(6, 200) + "half").unwrap();
        assert_eq!(seconds(&followed.more(&all, &zone).unwrap()), ["06"]);
        assert_eq!(followed.more(&all, &zone).unwrap(), []);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b" and whole\n").unwrap();
        assert_eq!(followed.more(&all, &zone).unwrap()[0].text, "half and whole");
        // A link is not followed: who may write the folder could point it anywhere.
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/shadow", &path).unwrap();
        assert!(found(&all).iter().all(|line| line.text.contains("04:06")));
    }

    proptest::proptest! {
        #[test]
        fn damaged_lines_are_told(bytes in crate::damaged::bytes(&[
            b"192.0.2.1 - - [24/Nov/2026:04:06:16 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"-\"",
            b"2026/11/24 04:06:16 [error] 7#7: *1 connect() failed",
        ])) {
            let told = Parser::new(&open_log(Path::new("/x"))).line(&bytes, &zone());
            assert!(told.text.len() <= line::MAX_LINE * 3, "{} bytes", told.text.len());
        }
    }
}
