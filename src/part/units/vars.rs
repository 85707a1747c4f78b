//! The variable of the operator's own units.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::inventory::patterns;
use crate::inventory::schema::{
    As, Choice, Declared, Fields, Flag, Local, Map, Named, Optional, Reader, Variable,
};
use crate::part::files::{TEMPLATE, TEXT, has_one_origin};
use crate::part::scalars::unit_name;
use crate::resource::OnChange;
use crate::vars;

pub(super) const VARIABLES: &[Declared] = &[Declared::of::<Units>()];

/// Units of systemd by their names.
#[derive(Clone, Debug, PartialEq)]
pub struct Units(pub BTreeMap<String, OwnUnit>);

vars! {
    /// A unit of systemd. Without `content`, `source` or `template` it is one that the host has.
    pub struct OwnUnit {
        /// text of the unit's file in `/etc/systemd/system`
        content: Option<String> = "null", Optional(TEXT);
        /// local file with that text
        source: Option<PathBuf> = "null", Optional(Local::FILE);
        /// template of your own in `templates/` with that text
        template: Option<String> = "null", Optional(TEMPLATE);
        /// whether it starts at boot
        enabled: bool = "true", Flag;
        /// whether it runs
        active: bool = "true", Flag;
        /// what it does when its file changes, or another file that names it
        on_change: OnChange = "restart", Choice(&[("restart", OnChange::Restart), ("reload", OnChange::Reload)]);
    }
}

impl Variable for Units {
    const NAME: &'static str = "units";
    const DOC: &'static str = "units of systemd by their names";
    const IS_COMMON: bool = true;
    type Rule = As<Named<Map<OwnUnit>>, Self>;
    const RULE: &'static Self::Rule = &As {
        rule: Named {
            what: "unit",
            is_name: |name| unit_name(name).is_some(),
            pattern: patterns::ANY,
            hint: "write a name such as `worker` or `backup.timer`",
            each: Map::checked(has_text_once),
        },
        make: Self,
    };

    /// A name with and without its suffix is one unit.
    fn check(&self, _: &crate::inventory::schema::Vars, reader: &mut Reader<'_>) {
        for name in self.0.keys().filter(|name| full_name(name) != **name) {
            let full = full_name(name);
            if self.0.contains_key(&full) {
                let paths = [format!("units.{name}"), format!("units.{full}")];
                let message = format!("`{name}` and `{full}` are one unit");
                reader.refuse_path([&paths[0], &paths[1]], message, "merge the two entries");
            }
        }
    }
}

/// The unit's name with its suffix.
pub(super) fn full_name(name: &str) -> String {
    unit_name(name).unwrap_or_else(|| name.to_owned())
}

fn has_text_once(_: &OwnUnit, reader: &mut Reader<'_>, fields: &Fields<'_>) -> bool {
    has_one_origin(reader, fields, false)
}
