//! Text in lines that fit, broken between words.

use console::{Term, measure_text_width};

/// The columns of a terminal; what is piped has lines as long as they are.
#[must_use]
pub fn width(terminal: &Term) -> usize {
    if terminal.is_term() { terminal.size().1.into() } else { usize::MAX }
}

/// Lines of at most `room` columns; a word that is longer is broken.
pub(super) fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let Some(line) = lines.last_mut() else { return lines };
            let used = line.chars().count();
            let gap = usize::from(used > 0);
            if used + gap + word.len() <= room {
                line.extend(" ".repeat(gap).chars().chain(word));
                break;
            }
            if used == 0 {
                let rest = word.split_off(room);
                line.extend(std::mem::replace(&mut word, rest));
            }
            lines.push(String::new());
        }
    }
    lines
}

/// The same text; lines that are too long go on below, two columns further in. Colours take no
/// room, and a word that is longer stays whole, so that it can be copied.
pub(super) fn hanging(text: &str, width: usize) -> String {
    text.split('\n').map(|line| folded(line, width)).collect::<Vec<_>>().join("\n")
}

fn folded(line: &str, width: usize) -> String {
    if measure_text_width(line) <= width {
        return line.to_owned();
    }
    let own = line.len() - line.trim_start_matches(' ').len();
    let indent = " ".repeat(own + 2);
    let mut folded = String::new();
    let mut used = 0;
    for word in line[own..].split(' ') {
        let length = measure_text_width(word);
        if used == 0 {
            folded += &line[..own];
            used = own;
        } else if used + 1 + length > width {
            folded = format!("{}\n{indent}", folded.trim_end());
            used = indent.len();
        } else {
            folded.push(' ');
            used += 1;
        }
        folded += word;
        used += length;
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_go_on_below() {
        let text = "short\n  next: add it to the list,  then `hwctl provision`\n\n  /a/path/that/is/longer/than/it/all";
        assert_eq!(
            hanging(text, 24),
            "short\n  next: add it to the\n    list,  then `hwctl\n    provision`\n\n  /a/path/that/is/longer/than/it/all"
        );
        assert_eq!(hanging("\x1b[31;1merror:\x1b[0m it is", 12), "\x1b[31;1merror:\x1b[0m it is");
        assert_eq!(hanging("any text at all", usize::MAX), "any text at all");
    }
}
