//! The people who log in to the host: their accounts, keys and rights.

mod vars;

use std::path::Path;

use anyhow::{Context as _, Result};

use super::build::{Builder, Claim, HostView, Package};
use super::{PartKind, Parts};
use crate::failure::Failure;
use crate::resource::{Content, File, Login, Owner, SshKey, SshKeys};

pub use vars::People;
use vars::Sudo;

pub(super) const KIND: PartKind = PartKind {
    name: "users",
    roles: &[],
    parts: Parts::If(|view| !view.vars.get::<People>().0.is_empty()),
    vars: vars::VARIABLES,
    takes: &[],
    driver: None,
    contribute: |view, offered| {
        if has_sudo(view) {
            offered.add_package(Package::new("sudo"));
        }
        for name in view.vars.get::<People>().0.keys() {
            offered.add_claim(Claim::User(name.clone()), view.place(&["users", name]));
        }
    },
    describe: |_, _, _| {},
    declare: |_, builder| declare(builder),
};

fn has_sudo(view: &HostView<'_>) -> bool {
    let People(people) = view.vars.get();
    people.values().any(|person| person.sudo != Sudo::None)
}

fn declare(builder: &mut Builder<'_>) -> Result<()> {
    let People(people) = builder.vars.get();
    for (name, person) in people {
        builder.add(Login {
            name: name.clone(),
            shell: person.shell.clone(),
            groups: person.groups.iter().cloned().collect(),
        });
        let mut keys = person.keys.clone();
        for file in &person.key_files {
            keys.extend(keys_in(&builder.context.folder.join(file))?);
        }
        if !keys.is_empty() {
            builder.add(SshKeys { login: name.clone(), keys });
        }
        if let Some(rule) = person.sudo.rule(name) {
            // sudo passes over files with a dot in their names.
            let path = format!("/etc/sudoers.d/hwctl-{}", name.replace('.', "_"));
            let validate = ["visudo", "-cf", "%s"].map(str::to_owned).into();
            let file = File::new(path, Content::text(rule), 0o440, Owner::root());
            builder.add(File { validate, ..file });
        }
    }
    Ok(())
}

impl Sudo {
    /// What `sudoers` says of a user. None for one who may do nothing as root.
    fn rule(self, name: &str) -> Option<String> {
        let tag = match self {
            Self::None => return None,
            Self::Password => "",
            Self::NoPassword => "NOPASSWD: ",
        };
        Some(format!("# Made by hwctl.\n{name} ALL=(ALL:ALL) {tag}ALL\n"))
    }
}

/// The keys in a file, one a line.
fn keys_in(path: &Path) -> Result<Vec<SshKey>> {
    let shown = path.display();
    let unusable = |why: String| Failure::usage(format!("`{shown}` holds no SSH keys")).why(why);
    let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    let is_key = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let keys: Result<Vec<_>> = text.lines().filter(is_key).map(SshKey::parse).collect();
    let keys = keys.with_context(|| format!("read `{shown}`"))?;
    if keys.is_empty() { Err(unusable("it is empty".to_owned()).into()) } else { Ok(keys) }
}
