//! The variables of the operator's own files, folders and links.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::inventory::schema::{
    As, Declared, Env, EnvMap, Fields, List, Local, Map, Named, Optional, Reader, Text, Variable,
};
use crate::inventory::{check, patterns};
use crate::part::scalars::{MODE, OWNER, UNIT};
use crate::resource::Owner;
use crate::vars;

pub(super) const VARIABLES: &[Declared] =
    &[Declared::of::<Folders>(), Declared::of::<Files>(), Declared::of::<Links>()];

/// The bit of a file's permissions that lets everybody read it.
pub(super) const READ_BY_OTHERS: u32 = 0o004;

/// Folders whose files are hwctl's own records, or no files at all.
const CLOSED: [&str; 8] = [
    "/boot",
    "/dev",
    "/etc/hwctl",
    "/proc",
    "/run/hwctl",
    "/sys",
    "/usr/local/lib/hwctl",
    "/var/lib/hwctl",
];
/// Files that more than one program writes to, with what is to be used instead.
const SHARED: [(&str, &str); 6] = [
    ("/etc/group", "`users`"),
    ("/etc/gshadow", "`users`"),
    ("/etc/passwd", "`users`"),
    ("/etc/shadow", "`users`"),
    ("/etc/ufw/user.rules", "`firewall.allow`"),
    ("/etc/ufw/user6.rules", "`firewall.allow`"),
];

/// Folders of the host by their paths.
#[derive(Clone, Debug, PartialEq)]
pub struct Folders(pub BTreeMap<String, Folder>);

/// Files of the host by their paths.
#[derive(Clone, Debug, PartialEq)]
pub struct Files(pub BTreeMap<String, OwnFile>);

/// The targets of symbolic links by the paths of the links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links(pub BTreeMap<String, PathBuf>);

vars! {
    /// A folder of the host.
    pub struct Folder {
        /// permissions
        mode: u32 = "\"0755\"", MODE;
        /// owner: `USER`, with the group of that name, or `USER:GROUP`
        owner: Owner = "root", OWNER;
    }
}

vars! {
    /// A file of the host. Exactly one of `content`, `source` and `template` is given.
    pub struct OwnFile {
        /// text that the file holds
        content: Option<String> = "null", Optional(TEXT);
        /// local file that is copied
        source: Option<PathBuf> = "null", Optional(Local::FILE);
        /// template of your own in `templates/`, see below
        template: Option<String> = "null", Optional(TEMPLATE);
        /// values that the template gets by `secret(name="NAME")` and that nothing shows, as for an [environment](containers.md#environment)
        secrets: Env = "{}", EnvMap;
        /// permissions; a file that others may not read is not shown in plans
        mode: u32 = "\"0644\"", MODE;
        /// owner: `USER`, with the group of that name, or `USER:GROUP`
        owner: Owner = "root", OWNER;
        /// units of systemd that are reloaded when the file changes
        reloads: Vec<String> = "[]", List(UNIT);
        /// units of systemd that are restarted when the file changes
        restarts: Vec<String> = "[]", List(UNIT);
        /// command on the host that has to accept the new file before it takes its place; `%s` is its path
        validate: Option<Vec<String>> = "null", Optional(List(ARGUMENT));
    }
}

pub(in crate::part) const TEXT: Text<String> =
    Text { expected: "text", pattern: patterns::ANY, check: |text| Some(text.to_owned()) };

pub(in crate::part) const TEMPLATE: Text<String> = Text {
    expected: "the path of a template below `templates/`",
    pattern: patterns::LOCAL_PATH,
    check: |text| {
        let is_below = check::local_path(text).is_some()
            && text.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        is_below.then(|| text.to_owned())
    },
};

const ARGUMENT: Text<String> = Text {
    expected: "a word of a command",
    pattern: patterns::ARGUMENT,
    check: |text| (!text.is_empty() && !text.contains('\0')).then(|| text.to_owned()),
};

const PATH_HINT: &str = "write an absolute path of letters, digits and `._-+@`, without `..`, outside of hwctl's own folders";

fn is_path(text: &str) -> bool {
    let is_closed = |path: &PathBuf| CLOSED.iter().any(|folder| path.starts_with(folder));
    check::host_path(text).is_some_and(|path| !is_closed(&path)) && !text.ends_with('/')
}

impl Variable for Folders {
    const NAME: &'static str = "folders";
    const DOC: &'static str = "folders of the host by their paths";
    const IS_COMMON: bool = true;
    type Rule = As<Named<Map<Folder>>, Self>;
    const RULE: &'static Self::Rule = &As {
        rule: Named {
            what: "folder",
            is_name: is_path,
            pattern: patterns::HOST_PATH,
            hint: PATH_HINT,
            each: Map::new(),
        },
        make: Self,
    };
}

impl Variable for Files {
    const NAME: &'static str = "files";
    const DOC: &'static str = "files of the host by their paths";
    const IS_COMMON: bool = true;
    type Rule = As<Named<Map<OwnFile>>, Self>;
    const RULE: &'static Self::Rule = &As {
        rule: Named {
            what: "file",
            is_name: is_path,
            pattern: patterns::HOST_PATH,
            hint: PATH_HINT,
            each: Map::checked(is_complete),
        },
        make: Self,
    };

    fn check(&self, _: &crate::inventory::schema::Vars, reader: &mut Reader<'_>) {
        refuse_shared("files", self.0.keys(), reader);
    }
}

/// Refuses paths that other programs write to as well.
fn refuse_shared<'a>(
    variable: &str,
    paths: impl Iterator<Item = &'a String>,
    reader: &mut Reader<'_>,
) {
    for path in paths {
        if let Some((_, instead)) = SHARED.iter().find(|(shared, _)| shared == path) {
            let at = format!("{variable}.{path}");
            let message = format!("`{path}` is written to by other programs as well");
            reader.refuse_path([&at, &at], message, &format!("use {instead} instead"));
        }
    }
}

impl Variable for Links {
    const NAME: &'static str = "links";
    const DOC: &'static str = "symbolic links of the host: path to target";
    const IS_COMMON: bool = true;
    type Rule = As<Named<Text<PathBuf>>, Self>;
    const RULE: &'static Self::Rule = &As {
        rule: Named {
            what: "link",
            is_name: is_path,
            pattern: patterns::HOST_PATH,
            hint: PATH_HINT,
            each: Text {
                expected: "the path that the link leads to",
                pattern: patterns::LOCAL_PATH,
                check: check::local_path,
            },
        },
        make: Self,
    };

    fn check(&self, _: &crate::inventory::schema::Vars, reader: &mut Reader<'_>) {
        refuse_shared("links", self.0.keys(), reader);
    }
}

/// A file has one origin, and a command that checks it sees it.
fn is_complete(file: &OwnFile, reader: &mut Reader<'_>, fields: &Fields<'_>) -> bool {
    let has_origin = has_one_origin(reader, fields, true) && keeps_secrets(file, reader, fields);
    let sees_file = |words: &Vec<String>| words.iter().any(|word| word.contains("%s"));
    match (&file.validate, fields.optional("validate")) {
        (Some(words), Some(field)) if !sees_file(words) => {
            let message = format!("`{}.validate` does not mention the file", fields.path());
            let hint = "`%s` stands for the path of the new file";
            reader.refuse(&field, message, hint).unwrap_or(false)
        }
        _ => has_origin,
    }
}

/// Secrets are for a template, and for those who may read its file.
fn keeps_secrets(file: &OwnFile, reader: &mut Reader<'_>, fields: &Fields<'_>) -> bool {
    let Some(field) = fields.optional("secrets") else { return true };
    let path = fields.path();
    let (message, hint) = if file.template.is_none() {
        (format!("`{path}.secrets` is for a template"), "name the `template` that puts them in")
    } else if file.mode & READ_BY_OTHERS != 0 {
        let message = format!("`{path}` has secrets, and everybody on the host may read it");
        (message, "set `mode: \"0600\"`, or `\"0640\"` for a group")
    } else {
        return true;
    };
    reader.refuse(&field, message, hint).unwrap_or(false)
}

/// Reports a map that says more than once where a text comes from, or not at all where that `is_required`.
pub(in crate::part) fn has_one_origin(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    is_required: bool,
) -> bool {
    let origins = ["content", "source", "template"];
    let given: Vec<_> = origins.iter().filter_map(|key| fields.optional(key)).collect();
    match given.as_slice() {
        [] if is_required => {
            let message = format!("`{}` lacks `content`, `source` or `template`", fields.path());
            reader.refuse_map(fields, message, "");
            false
        }
        [] | [_] => true,
        [_, second, ..] => {
            let message =
                format!("`{}` takes one of `content`, `source` and `template`", fields.path());
            reader.refuse(second, message, "").unwrap_or(false)
        }
    }
}
