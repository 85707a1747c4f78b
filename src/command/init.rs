//! `hwctl init`: an inventory to edit, and on request the templates.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::cli::InitArgs;
use crate::failure::{Exit, Failure};
use crate::report::print;
use crate::stack::template_sources;

/// The commented example: every variable at its default.
const INVENTORY: &str = include_str!("../../inventory.yaml");

/// Runs `hwctl init`.
pub fn run(args: &InitArgs) -> Result<Exit> {
    let mut files = vec![("inventory.yaml".to_owned(), INVENTORY.to_owned())];
    if args.templates {
        let templates = template_sources()?.into_iter();
        files.extend(templates.map(|(name, text)| (format!("templates/{name}"), text)));
    }
    let taken: Vec<_> = files.iter().map(|(name, _)| args.folder.join(name)).collect();
    let taken: Vec<_> = taken.iter().filter(|path| path.exists()).collect();
    if let Some(first) = taken.first() {
        let more = match taken.len() {
            1 => String::new(),
            all => format!(" and {} more", all - 1),
        };
        return Err(Failure::usage(format!("`{}` is there already{more}", first.display()))
            .not_done("nothing was written")
            .hint("name another folder: `hwctl init FOLDER`")
            .into());
    }
    for (name, text) in &files {
        write(&args.folder.join(name), text)?;
    }
    print(&format!("{} files in {}", files.len(), args.folder.display()));
    print(&format!(
        "next: edit `{}`, then `hwctl plan`",
        args.folder.join("inventory.yaml").display()
    ));
    Ok(Exit::Done)
}

/// A file that appears meanwhile is not overwritten either.
fn write(path: &Path, text: &str) -> Result<()> {
    let shown = path.display();
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make `{}`", folder.display()))?;
    }
    let file = fs::File::create_new(path).with_context(|| format!("cannot write `{shown}`"));
    file?.write_all(text.as_bytes()).with_context(|| format!("cannot write `{shown}`"))
}
