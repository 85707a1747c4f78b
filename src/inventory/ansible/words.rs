//! Splits a line into words as Python's `shlex` does, which Ansible reads host lines with.

/// A word without its quotes, and the columns that it takes up, counted from 0.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Where in the line the splitter is.
#[derive(Clone, Copy)]
enum State {
    Between,
    Word,
    Quoted(char),
    /// After a backslash, inside these quotes.
    Escaped(Option<char>),
}

/// The words of a line. Returns None if a quote is not closed.
///
/// A `#` begins a comment wherever it stands outside of quotes, also within a word. That differs
/// from a shell.
pub(super) fn split(line: &str) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut state = State::Between;
    let mut word = Word { text: String::new(), start: 0, end: 0 };
    for (at, c) in line.chars().enumerate() {
        match (state, c) {
            (State::Between | State::Word, '#') => break,
            (State::Between, c) if is_space(c) => continue,
            (State::Word, c) if is_space(c) => {
                words.push(std::mem::take(&mut word));
                state = State::Between;
                continue;
            }
            _ => {}
        }
        if matches!(state, State::Between) {
            word.start = at;
        }
        word.end = at + 1;
        state = step(state, c, &mut word.text);
    }
    match state {
        State::Between => {}
        State::Word => words.push(word),
        State::Quoted(_) | State::Escaped(_) => return None,
    }
    Some(words)
}

/// Takes one character of a word.
fn step(state: State, c: char, text: &mut String) -> State {
    match (state, c) {
        (State::Between | State::Word, '\\') => State::Escaped(None),
        (State::Between | State::Word, '"' | '\'') => State::Quoted(c),
        (State::Quoted('"'), '\\') => State::Escaped(Some('"')),
        (State::Quoted(quote), c) if c == quote => State::Word,
        (State::Quoted(_), c) => {
            text.push(c);
            state
        }
        (State::Escaped(Some(quote)), c) => {
            if c != '\\' && c != quote {
                text.push('\\');
            }
            text.push(c);
            State::Quoted(quote)
        }
        (State::Between | State::Word | State::Escaped(None), c) => {
            text.push(c);
            State::Word
        }
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Option<Vec<String>> {
        Some(split(line)?.into_iter().map(|word| word.text).collect())
    }

    #[test]
    fn words_are_those_of_pythons_shlex() {
        for (line, words) in [
            ("h1 a=1  b=2", &["h1", "a=1", "b=2"][..]),
            ("h1 a='x y' b=\"z 'q'\"", &["h1", "a=x y", "b=z 'q'"]),
            (r#"h1 a="C:\dir\"x" b=a\ b c='\n'"#, &["h1", r#"a=C:\dir"x"#, "b=a b", r"c=\n"]),
            ("h1 a=b#c d=1", &["h1", "a=b"]),
            ("h1 a='b#c' # d=1", &["h1", "a=b#c"]),
            ("h1 a='' ''", &["h1", "a=", ""]),
        ] {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(texts(line), Some(words), "{line}");
        }
        for line in ["h1 a='x", "h1 a=\"x\\\"", "h1 a=\\"] {
            assert_eq!(texts(line), None, "{line}");
        }
    }

    #[test]
    fn a_word_knows_its_columns() {
        let words = split("h1  a='x y' b").unwrap();

        let columns: Vec<_> = words.iter().map(|word| (word.start, word.end)).collect();
        assert_eq!(columns, [(0, 2), (4, 11), (12, 13)]);
    }
}
