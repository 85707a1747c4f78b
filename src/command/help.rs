//! `hwctl help TOPIC`: the pages of `docs/` that are for users, which hwctl carries.

use clap::CommandFactory as _;

use crate::cli::{Cli, OutputArgs};
use crate::command::fleet::show::{print_page, set_output};
use crate::command::fleet::style;
use crate::failure::Exit;
use crate::packed::{PAGES, unpack};
use crate::report::markdown;

/// The name of the list of all pages.
const TOPICS: &str = "topics";

/// A page for users.
struct Page {
    name: String,
    text: String,
}

impl Page {
    /// Its first heading.
    fn title(&self) -> &str {
        self.text.lines().next().unwrap_or_default().trim_start_matches("# ")
    }
}

/// Prints the page that `hwctl help TOPIC` asks for. Returns None if the command line asks for something else, such
/// as the help of a verb.
pub fn answer(args: impl Iterator<Item = String>) -> Option<Exit> {
    let (options, words): (Vec<_>, Vec<_>) = args.partition(|arg| arg.starts_with('-'));
    let topic = match words.as_slice() {
        [help, topic] if help == "help" => topic,
        _ => return None,
    };
    let pages = pages();
    let text = match pages.iter().find(|page| page.name == *topic) {
        Some(page) => text(page),
        None if topic == TOPICS => list(&pages),
        None => return None,
    };
    let no_pager = options.iter().any(|option| option == "--no-pager");
    set_output(OutputArgs { no_pager, ..OutputArgs::default() });
    print_page(&text);
    Some(Exit::Done)
}

/// The names of all pages, and of their list.
pub fn topics() -> impl Iterator<Item = String> {
    pages().into_iter().map(|page| page.name).chain([TOPICS.to_owned()])
}

fn text(page: &Page) -> String {
    let mut text = markdown(style(), &page.text);
    if Cli::command().find_subcommand(&page.name).is_some() {
        let name = &page.name;
        text = format!("{text}\n\nThe verb of this name: `hwctl {name} --help`");
    }
    text
}

fn list(pages: &[Page]) -> String {
    let widest = pages.iter().map(|page| page.name.len()).max().unwrap_or_default();
    let lines = pages.iter().map(|page| format!("  {:<widest$}  {}", page.name, page.title()));
    format!("Topics, for `hwctl help TOPIC`:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

fn pages() -> Vec<Page> {
    unpack(PAGES).into_iter().map(|(name, text)| Page { name, text }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure;

    #[test]
    fn every_page_that_a_failure_names_is_a_topic() {
        let pages = pages();

        let names: Vec<_> = pages.iter().map(|page| page.name.as_str()).collect();

        assert!(names.len() > 5, "{names:?}");
        for page in [
            failure::Page::Adoption,
            failure::Page::Install,
            failure::Page::Inventory,
            failure::Page::Lab,
            failure::Page::Review,
            failure::Page::Undo,
        ] {
            assert!(names.contains(&page.name()), "{page:?}: {names:?}");
        }
        assert!(pages.iter().all(|page| page.text.starts_with("# ")), "{names:?}");
    }

    #[test]
    fn no_line_of_a_page_is_wider_than_a_terminal_save_for_code() {
        for page in pages() {
            let shown = text(&page);

            let mut wide = shown.lines().filter(|line| line.chars().count() > 80);
            let widest = wide.find(|line| !line.starts_with("    "));

            assert_eq!(widest, None, "{}", page.name);
        }
    }
}
