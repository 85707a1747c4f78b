//! What `ansible.cfg` and Ansible's environment variables say of the inventory and of connections.

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use regex_lite::Regex;

use super::files::{shown_path, source};
use super::merge::Merging;
use super::sources::Skipped;
use super::vault::PasswordFile;
use crate::failure::Failure;
use crate::inventory::Warning;
use crate::inventory::names::shown;
use crate::inventory::yaml::node::{Entry, Node, Value};
use crate::inventory::yaml::place::{Extent, Place, Source};
use crate::inventory::yaml::problem::Problem;

/// The name of the file.
const NAME: &str = "ansible.cfg";
/// Anybody may write.
const OTHERS_WRITE: u32 = 0o002;

/// A setting: its variable of the environment, and its section and key in the file.
type Setting = (&'static str, &'static str, &'static str);

const INVENTORY: Setting = ("ANSIBLE_INVENTORY", "defaults", "inventory");
const HASH_BEHAVIOUR: Setting = ("ANSIBLE_HASH_BEHAVIOUR", "defaults", "hash_behaviour");
const VAULT_FILE: Setting = ("ANSIBLE_VAULT_PASSWORD_FILE", "defaults", "vault_password_file");
const VAULT_LIST: Setting = ("ANSIBLE_VAULT_IDENTITY_LIST", "defaults", "vault_identity_list");
const KEY_FILE: Setting = ("ANSIBLE_PRIVATE_KEY_FILE", "defaults", "private_key_file");
const BECOME_FILE: Setting = ("ANSIBLE_BECOME_PASSWORD_FILE", "defaults", "become_password_file");

const SKIPPED_ENDINGS: [Setting; 2] = [
    ("ANSIBLE_INVENTORY_IGNORE", "defaults", "inventory_ignore_extensions"),
    ("ANSIBLE_INVENTORY_IGNORE", "inventory", "ignore_extensions"),
];
const SKIPPED_PATTERNS: [Setting; 2] = [
    ("ANSIBLE_INVENTORY_IGNORE_REGEX", "defaults", "inventory_ignore_patterns"),
    ("ANSIBLE_INVENTORY_IGNORE_REGEX", "inventory", "ignore_patterns"),
];

/// Settings that stand below all variables of a host, and the variable that each of them is.
const VARIABLES: [(Setting, &str); 12] = [
    (("ANSIBLE_REMOTE_USER", "defaults", "remote_user"), "ansible_user"),
    (("ANSIBLE_REMOTE_PORT", "defaults", "remote_port"), "ansible_port"),
    (("ANSIBLE_TRANSPORT", "defaults", "transport"), "ansible_connection"),
    (("ANSIBLE_SSH_ARGS", "ssh_connection", "ssh_args"), "ansible_ssh_args"),
    (("ANSIBLE_SSH_COMMON_ARGS", "ssh_connection", "ssh_common_args"), "ansible_ssh_common_args"),
    (("ANSIBLE_SSH_EXTRA_ARGS", "ssh_connection", "ssh_extra_args"), "ansible_ssh_extra_args"),
    (("ANSIBLE_SSH_EXECUTABLE", "ssh_connection", "ssh_executable"), "ansible_ssh_executable"),
    (("ANSIBLE_BECOME_METHOD", "privilege_escalation", "become_method"), "ansible_become_method"),
    (("ANSIBLE_BECOME_USER", "privilege_escalation", "become_user"), "ansible_become_user"),
    (("ANSIBLE_BECOME_EXE", "privilege_escalation", "become_exe"), "ansible_become_exe"),
    (("ANSIBLE_BECOME_FLAGS", "privilege_escalation", "become_flags"), "ansible_become_flags"),
    (("ANSIBLE_SUDO_FLAGS", "sudo_become_plugin", "flags"), "ansible_sudo_flags"),
];

/// Where the file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// `ANSIBLE_CONFIG` names it, or it lies in the working folder.
    ForThisWork,
    /// It lies in the home or in `/etc/ansible`, for everything that the person does.
    ForAll,
}

/// Ansible's settings.
#[derive(Default)]
pub(in crate::inventory) struct Config {
    file: Option<(PathBuf, Found)>,
    settings: Vec<Line>,
    pub(in crate::inventory) warnings: Vec<Warning>,
}

/// One setting of the file.
struct Line {
    section: String,
    key: String,
    value: String,
    place: Place,
}

/// A value and where it was said.
struct Said {
    value: String,
    place: Place,
    /// What a relative path in it is relative to.
    folder: PathBuf,
}

impl Config {
    /// Looks for the file where Ansible does, and reads it.
    pub(in crate::inventory) fn load() -> Result<Self, Failure> {
        let mut config = Self::default();
        let Some((path, found)) = config.find() else { return Ok(config) };
        let text = source(&path)?;
        config.settings = read(&text)?;
        config.file = Some((path, found));
        Ok(config)
    }

    fn find(&mut self) -> Option<(PathBuf, Found)> {
        let mut places = Vec::new();
        if let Some(named) = env::var_os("ANSIBLE_CONFIG").filter(|named| !named.is_empty()) {
            let named = home(&PathBuf::from(named));
            let named = if named.is_dir() { named.join(NAME) } else { named };
            places.push((named, Found::ForThisWork));
        }
        let here = PathBuf::from(NAME);
        let is_open = std::fs::metadata(".")
            .is_ok_and(|folder| folder.permissions().mode() & OTHERS_WRITE != 0);
        if !is_open {
            places.push((here, Found::ForThisWork));
        } else if here.exists() {
            let message = "this file is not read: anybody may write to its folder".to_owned();
            self.warnings.push(Warning { place: NAME.to_owned(), message });
        }
        places.push((home(Path::new("~/.ansible.cfg")), Found::ForAll));
        places.push((Path::new("/etc/ansible").join(NAME), Found::ForAll));
        places.into_iter().find(|(path, _)| path.is_file())
    }

    /// The file, for messages.
    pub(in crate::inventory) fn path(&self) -> Option<String> {
        self.file.as_ref().map(|(path, _)| shown_path(path))
    }

    fn said(&self, (variable, section, key): Setting) -> Option<Said> {
        let from_environment = || {
            let value = env::var(variable).ok().filter(|value| !value.is_empty())?;
            let place = Source::variable(variable, &value).start();
            Some(Said { value, place, folder: PathBuf::new() })
        };
        let from_file = || {
            let matches = |line: &&Line| line.section == section && line.key == key;
            let line = self.settings.iter().rev().find(matches)?;
            let (path, _) = self.file.as_ref()?;
            let folder = path.parent().unwrap_or(Path::new("")).to_owned();
            let value = line.value.clone();
            Some(Said { value, place: line.place.clone(), folder })
        };
        from_environment().or_else(from_file)
    }

    /// The inventories that the environment or a file for this work names.
    pub(in crate::inventory) fn inventories(&self) -> Vec<PathBuf> {
        let is_for_all = self.file.as_ref().is_some_and(|(_, found)| *found == Found::ForAll);
        let is_set = env::var_os(INVENTORY.0).is_some_and(|value| !value.is_empty());
        if is_for_all && !is_set { Vec::new() } else { self.any_inventories() }
    }

    /// The same, also those that a file for all of the person's work names.
    pub(in crate::inventory) fn any_inventories(&self) -> Vec<PathBuf> {
        let Some(said) = self.said(INVENTORY) else { return Vec::new() };
        said.list().map(|name| said.path(name)).collect()
    }

    /// What becomes of a map that is set twice.
    pub(in crate::inventory) fn merging(&self) -> Result<Merging, Problem> {
        let Some(said) = self.said(HASH_BEHAVIOUR) else { return Ok(Merging::Replace) };
        match said.value.as_str() {
            "replace" => Ok(Merging::Replace),
            "merge" => Ok(Merging::Merge),
            _ => Err(Problem::at(&said.place, "`hash_behaviour` takes `replace` or `merge`")),
        }
    }

    /// Which files of an inventory folder are skipped.
    pub(in crate::inventory) fn skipped(&self) -> Result<Skipped, Problem> {
        let mut skipped = Skipped::default();
        if let Some(said) = self.first(&SKIPPED_ENDINGS) {
            skipped.endings = said.list().map(str::to_owned).collect();
        }
        if let Some(said) = self.first(&SKIPPED_PATTERNS) {
            for pattern in said.list() {
                let compiled = Regex::new(pattern).map_err(|error| {
                    let message = format!("`{}` is no regular expression: {error}", shown(pattern));
                    Problem::at(&said.place, message)
                });
                skipped.patterns.push(compiled?);
            }
        }
        Ok(skipped)
    }

    fn first(&self, settings: &[Setting]) -> Option<Said> {
        settings.iter().find_map(|setting| self.said(*setting))
    }

    /// The files with passwords of vaults.
    pub(in crate::inventory) fn vault_files(&self) -> Vec<PasswordFile> {
        let mut files = Vec::new();
        if let Some(said) = self.said(VAULT_LIST) {
            for name in said.list() {
                let file = PasswordFile::parse(name);
                if file.is_asked_for() {
                    files.push(file);
                    continue;
                }
                let path = said.path(&file.path.to_string_lossy());
                files.push(PasswordFile { path, ..file });
            }
        }
        if let Some(said) = self.said(VAULT_FILE) {
            let path = said.path(&said.value);
            files.push(PasswordFile { label: "default".to_owned(), path });
        }
        files
    }

    /// The settings as variables that any variable of a host beats.
    pub(in crate::inventory) fn variables(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut add = |key: &str, place: Place, value: Value| {
            let node = Node::new(value, place.clone());
            entries.push(Entry { key: key.to_owned(), place, node });
        };
        for (setting, variable) in VARIABLES {
            if let Some(Said { value, place, .. }) = self.said(setting) {
                add(variable, place, Value::Literal(value));
            }
        }
        if let Some(said) = self.said(KEY_FILE) {
            let path = said.path(&said.value).to_string_lossy().into_owned();
            add("ansible_ssh_private_key_file", said.place, Value::Literal(path));
        }
        if let Some(said) = self.said(BECOME_FILE) {
            let path = std::path::absolute(said.path(&said.value));
            let path = path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
            let node = Node::new(Value::Literal(path), said.place.clone());
            let file = Entry { key: "file".to_owned(), place: said.place.clone(), node };
            add("ansible_become_password", said.place, Value::Map(vec![file]));
        }
        entries
    }
}

impl Said {
    /// The values of a list with commas.
    fn list(&self) -> impl Iterator<Item = &str> {
        self.value.split(',').map(str::trim).filter(|value| !value.is_empty())
    }

    /// A path of this value, which begins at the folder of the file.
    fn path(&self, text: &str) -> PathBuf {
        self.folder.join(home(Path::new(text)))
    }
}

/// The path with the operator's home in the place of `~`.
pub(super) fn home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), env::var_os("HOME").filter(|home| *home != OsString::new())) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path.to_owned(),
    }
}

/// Reads the file as Python's `configparser` does.
fn read(text: &std::sync::Arc<Source>) -> Result<Vec<Line>, Problem> {
    let mut lines: Vec<Line> = Vec::new();
    let mut section = String::new();
    // Any value may be a secret.
    text.hide(vec![Extent { line: 1, column: 1, end_line: usize::MAX, end_column: usize::MAX }]);
    for (at, whole) in text.text().lines().enumerate() {
        let extent =
            |column, end_column| Extent { line: at + 1, column, end_line: at + 1, end_column };
        let line = without_comment(whole);
        let trimmed = line.trim();
        if trimmed.is_empty() {
            continue;
        }
        let width = whole.chars().count();
        if line.starts_with(char::is_whitespace)
            && let Some(last) = lines.last_mut()
        {
            last.value.push('\n');
            last.value.push_str(trimmed);
        } else if let Some(name) = trimmed.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else if let Some((key, value)) = trimmed.split_once(['=', ':']) {
            let place = text.at(extent(1, width + 1));
            let (key, value) = (key.trim().to_lowercase(), unquoted(value.trim()).to_owned());
            lines.push(Line { section: section.clone(), key, value, place });
        } else {
            let place = text.at(extent(1, width + 1));
            let problem = Problem::at(&place, "a setting of Ansible is written `KEY = VALUE`");
            return Err(problem.without_line());
        }
    }
    Ok(lines)
}

/// The line without a comment: a whole line that `#` or `;` begins, or a `;` after a space.
fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with(['#', ';']) {
        return "";
    }
    let mut comments = line.match_indices(';').map(|(at, _)| at);
    let is_comment = |at: &usize| line[..*at].ends_with(char::is_whitespace);
    comments.find(is_comment).map_or(line, |at| &line[..at])
}

fn unquoted(value: &str) -> &str {
    let inner = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Vec<(String, String, String)> {
        let lines = read(&Source::file("ansible.cfg", text.to_owned())).unwrap_or_default();
        lines.into_iter().map(|line| (line.section, line.key, line.value)).collect()
    }

    #[test]
    fn a_file_is_read_as_configparser_reads_it() {
        let text = "\
# comment
[defaults]
Inventory = ./hosts ; and why
remote_user: ubuntu
private_key_file='~/.ssh/id;x'
[ssh_connection]
ssh_args = -C
  -o X=y
";
        let of = |section: &str, key: &str, value: &str| {
            (section.to_owned(), key.to_owned(), value.to_owned())
        };

        let expected = [
            of("defaults", "inventory", "./hosts"),
            of("defaults", "remote_user", "ubuntu"),
            of("defaults", "private_key_file", "~/.ssh/id;x"),
            of("ssh_connection", "ssh_args", "-C\n-o X=y"),
        ];
        assert_eq!(settings(text), expected);
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_file_is_read_or_refused(text in crate::damaged::text(&[
            "[defaults]\ninventory = a,b ; c\n[x]\nk: 'v'\n  more\n# end\n",
        ])) {
            settings(&text);
        }
    }
}
