//! Unified diffs of what changes in a text.

use std::fmt::{Result, Write};

use imara_diff::{
    Algorithm, Diff, InternedInput, Interner, Token, UnifiedDiffConfig, UnifiedDiffPrinter,
};

use super::Style;

/// A unified diff, indented, with three lines of context.
pub(super) fn diff_text(style: Style, before: &str, after: &str) -> String {
    let input = InternedInput::new(before, after);
    let mut diff = Diff::compute(Algorithm::Histogram, &input);
    diff.postprocess_lines(&input);
    let lines = Lines { style, lines: &input.interner };
    diff.unified_diff(&lines, UnifiedDiffConfig::default(), &input).to_string()
}

struct Lines<'a> {
    style: Style,
    lines: &'a Interner<&'a str>,
}

impl Lines<'_> {
    fn line(&self, f: &mut impl Write, sign: char, color: &str, token: Token) -> Result {
        let line = format!("{sign}{}", self.lines[token].trim_end_matches(['\r', '\n']));
        write!(f, "\n    {}", self.style.paint(&line, color))
    }
}

impl UnifiedDiffPrinter for Lines<'_> {
    fn display_header(
        &self,
        mut f: impl Write,
        start_before: u32,
        start_after: u32,
        len_before: u32,
        len_after: u32,
    ) -> Result {
        let range = |start: u32, length: u32| match length {
            // Of nothing, what comes before it is named.
            0 => format!("{start},0"),
            1 => (start + 1).to_string(),
            _ => format!("{},{length}", start + 1),
        };
        let (before, after) = (range(start_before, len_before), range(start_after, len_after));
        let header = format!("@@ -{before} +{after} @@");
        write!(f, "\n    {}", self.style.paint(&header, "36"))
    }

    fn display_context_token(&self, mut f: impl Write, token: Token) -> Result {
        write!(f, "\n     {}", self.lines[token].trim_end_matches(['\r', '\n']))
    }

    fn display_hunk(&self, mut f: impl Write, before: &[Token], after: &[Token]) -> Result {
        for token in before {
            self.line(&mut f, '-', "31", *token)?;
        }
        for token in after {
            self.line(&mut f, '+', "32", *token)?;
        }
        Ok(())
    }
}
