//! Pages of `docs/` as text for a terminal: as much of Markdown as they use.

use super::Style;
use super::wrap::wrapped;

/// A column of a table is at least this wide, before it is cut to fit.
const MIN_COLUMN: usize = 8;
/// What code is indented by.
const CODE: &str = "    ";

/// A page with lines that fit.
#[must_use]
pub fn markdown(style: Style, page: &str) -> String {
    let width = style.width.min(80);
    let mut lines = page.lines().peekable();
    let mut text: Vec<String> = Vec::new();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            text.extend(
                lines.by_ref().take_while(|line| *line != "```").map(|l| CODE.to_owned() + l),
            );
        } else if line.trim().is_empty() || line.starts_with(CODE) {
            text.push(line.trim_end().to_owned());
        } else if let Some(title) = line.strip_prefix('#') {
            text.push(style.paint(&inline(title.trim_start_matches('#')), "1"));
        } else if line.starts_with('|') {
            let mut rows = vec![cells(line)];
            while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
                rows.push(cells(row));
            }
            text.extend(table(&rows, width));
        } else {
            let mut block = line.to_owned();
            while let Some(more) = lines.next_if(|line| continues(line)) {
                block = format!("{block} {}", more.trim());
            }
            text.extend(folded(&block, width));
        }
    }
    // A picture leaves an empty line, and a page ends with one.
    text.dedup_by(|one, other| one.is_empty() && other.is_empty());
    text.join("\n").trim_end().to_owned()
}

/// Whether a line goes on with the paragraph or the item above it.
fn continues(line: &str) -> bool {
    let is_other = line.starts_with(['#', '|']) || line.starts_with("```");
    !line.trim().is_empty() && !is_other && marker(line).is_none()
}

/// The columns before the text of an item of a list.
fn marker(line: &str) -> Option<usize> {
    let own = line.trim_start_matches(' ');
    let indent = line.len() - own.len();
    let digits = own.len() - own.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let is_item = own.starts_with("- ") || digits > 0 && own[digits..].starts_with(". ");
    is_item.then_some(indent + digits + 2)
}

/// A paragraph or an item, whose further lines are below its text.
fn folded(block: &str, width: usize) -> Vec<String> {
    let indent = marker(block).unwrap_or_default();
    let (head, body) = block.split_at(indent);
    let lines = wrapped(&inline(body), width.saturating_sub(indent).max(MIN_COLUMN));
    let lines = lines.into_iter().filter(|line| !line.is_empty()).enumerate();
    let lines = lines.map(|(at, line)| match at {
        0 => format!("{head}{line}"),
        _ => format!("{}{line}", " ".repeat(indent)),
    });
    lines.collect()
}

/// The text without the marks of links, pictures and weight.
fn inline(text: &str) -> String {
    let text = text.trim().replace("**", "");
    let mut shown = String::new();
    let mut rest = text.as_str();
    while let Some((before, label, target, after)) = link(rest) {
        let picture = before.strip_suffix('!');
        shown.push_str(picture.unwrap_or(before));
        if picture.is_none() {
            shown.push_str(label);
        }
        if picture.is_none() && target.starts_with("http") {
            shown = format!("{shown} <{target}>");
        }
        rest = after;
    }
    shown + rest
}

/// The first `[label](target)` of a text, with what stands before and after it.
fn link(text: &str) -> Option<(&str, &str, &str, &str)> {
    let middle = text.find("](")?;
    let start = text[..middle].rfind('[')?;
    let end = middle + text[middle..].find(')')?;
    Some((&text[..start], &text[start + 1..middle], &text[middle + 2..end], &text[end + 1..]))
}

fn cells(row: &str) -> Vec<String> {
    let inner = row.trim().trim_start_matches('|').trim_end_matches('|');
    inner.split('|').map(inline).collect()
}

/// A table with aligned columns. What is too wide is folded within its column.
fn table(rows: &[Vec<String>], width: usize) -> Vec<String> {
    let is_ruler =
        |row: &&Vec<String>| row.iter().all(|cell| cell.chars().all(|c| "-: ".contains(c)));
    let is_empty = |row: &&Vec<String>| row.iter().all(String::is_empty);
    let rows: Vec<_> = rows.iter().filter(|row| !is_ruler(row) && !is_empty(row)).collect();
    let columns = rows.iter().map(|row| row.len()).max().unwrap_or_default();
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let mut widths: Vec<_> = (0..columns).map(widest).collect();
    let room = width.saturating_sub(2 * columns.saturating_sub(1));
    // The widest column gives way.
    while widths.iter().sum::<usize>() > room {
        let Some(most) = widths.iter_mut().max_by_key(|width| **width) else { break };
        if *most <= MIN_COLUMN {
            break;
        }
        *most -= 1;
    }
    rows.into_iter().flat_map(|row| table_row(row, &widths)).collect()
}

fn table_row(row: &[String], widths: &[usize]) -> Vec<String> {
    let cells: Vec<_> =
        row.iter().zip(widths).map(|(cell, width)| wrapped(cell, (*width).max(1))).collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or_default();
    let line = |at: usize| {
        let parts = cells.iter().zip(widths).map(|(cell, width)| {
            let part = cell.get(at).map_or("", String::as_str);
            format!("{part:<width$}")
        });
        parts.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Volume;

    #[test]
    fn a_page_fits_and_keeps_its_code() {
        let style = Style {
            color: false,
            live: false,
            width: 40,
            diff: false,
            check: false,
            volume: Volume::Normal,
        };
        let page = "# Undo\n\nA run that fails is **undone**, as [the page](undo.md) says in more words.\n\n\
                    ![a picture](x.png)\n\n    hwctl rollback --host vm1 --a-long-option-of-its-own\n\n\
                    1. One thing that is longer than the line that\n   there is for it.\n2. Two.\n\n\
                    | code | meaning |\n| --- | --- |\n| 3 | there are changes, and none of them was made |\n";

        insta::assert_snapshot!(markdown(style, page), @"
        Undo

        A run that fails is undone, as the page
        says in more words.

            hwctl rollback --host vm1 --a-long-option-of-its-own

        1. One thing that is longer than the
           line that there is for it.
        2. Two.

        code  meaning
        3     there are changes, and none of
              them was made
        ");
    }
}
