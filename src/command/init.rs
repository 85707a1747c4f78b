//! `hwctl init`: an inventory to edit, and on request the templates.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use rand::RngExt as _;
use rand::distr::Alphanumeric;

use crate::cli::InitArgs;
use crate::failure::{Exit, Failure};
use crate::inventory::schema::json_schema;
use crate::part::{Kinds, template_sources};
use crate::report::print;

/// The commented example: every variable at its default.
const INVENTORY: &str = include_str!("../../inventory.yaml");
/// Passwords of the example, which everybody knows, and the files that take their place.
const PASSWORDS: [(&str, &str, &str); 2] = [
    ("admin: homework", "admin: { file: secrets/site2 }", "secrets/site2"),
    ("users: { admin: password }", "users: { admin: { file: secrets/api } }", "secrets/api"),
];
/// The comment of the example about its passwords, and that of an inventory without them.
const COMMENT: (&str, &str) = (
    "Everybody knows these passwords, so hwctl warns. Name where a password is instead:",
    "Where a password is. A file below `secrets/` was made for you; other ways are:",
);
/// The JSON Schema beside an inventory, by which editors complete and check it.
const SCHEMA: &str = "inventory.schema.json";
/// How the example names its schema.
const PUBLISHED: &str = "docs/schema/inventory.json";
/// The host of the example. Nobody has its address, which is reserved for documentation.
const HOST: &str = "vm1: { ansible_host: 192.0.2.10 }";
const USER: &str = "ansible_user: ubuntu";
/// So many random letters and digits are as hard to guess as a key of 119 bits.
const PASSWORD_LENGTH: usize = 20;

/// Runs `hwctl init`.
pub fn run(kinds: Kinds, args: &InitArgs) -> Result<Exit> {
    let mut files = vec![("inventory.yaml".to_owned(), inventory(args)?)];
    let schema = serde_json::to_string_pretty(&json_schema(&kinds.variables()))?;
    files.push((SCHEMA.to_owned(), format!("{schema}\n")));
    files.extend(PASSWORDS.map(|(_, _, file)| (file.to_owned(), format!("{}\n", password()))));
    if args.templates {
        let templates = template_sources().into_iter();
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
    let shown = args.folder.join("inventory.yaml").display().to_string();
    print(&format!(
        "wrote {} files to `{}`; passwords are in `secrets/`",
        files.len(),
        args.folder.display()
    ));
    match args.host {
        Some(_) => print(&format!("next: `hwctl plan -i {shown}`")),
        None => print(&format!("next: name your host in `{shown}`, then `hwctl plan -i {shown}`")),
    }
    Ok(Exit::Done)
}

/// The example with the operator's host, and with passwords that nobody knows.
fn inventory(args: &InitArgs) -> Result<String> {
    let mut text = INVENTORY.replace(COMMENT.0, COMMENT.1).replace(PUBLISHED, SCHEMA);
    for (known, reference, _) in PASSWORDS {
        text = text.replace(known, reference);
    }
    let is_word = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "._:-@%".contains(c))
    };
    for (name, value) in [("--host", &args.host), ("--user", &args.user)] {
        if value.as_ref().is_some_and(|value| !is_word(value)) {
            return Err(Failure::usage(format!("`{name}` takes a name or an address"))
                .not_done("nothing was written")
                .into());
        }
    }
    if let Some(host) = &args.host {
        text = text.replace(HOST, &format!("vm1: {{ ansible_host: \"{host}\" }}"));
    }
    if let Some(user) = &args.user {
        text = text.replace(USER, &format!("ansible_user: \"{user}\""));
    }
    Ok(text)
}

fn password() -> String {
    let letters = rand::rng().sample_iter(Alphanumeric).take(PASSWORD_LENGTH);
    letters.map(char::from).collect()
}

/// A file that appears meanwhile is not overwritten either.
fn write(path: &Path, text: &str) -> Result<()> {
    let shown = path.display();
    let is_secret = path.parent().is_some_and(|folder| folder.ends_with("secrets"));
    let (folder_mode, file_mode) = if is_secret { (0o700, 0o600) } else { (0o777, 0o666) };
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(folder_mode)
            .create(folder)
            .with_context(|| format!("cannot make `{}`", folder.display()))?;
    }
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(file_mode).open(path);
    let mut file = file.with_context(|| format!("cannot write `{shown}`"))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write `{shown}`"))
}
