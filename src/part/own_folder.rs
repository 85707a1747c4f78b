//! Which folders of a host hwctl may own: what it puts there belongs to root, is served or is run,
//! and is taken away again.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::inventory::schema::{Field, Reader, Rule, Shape};
use crate::inventory::{check, patterns};
use crate::resource::not_own;

/// A folder of the host that hwctl has to itself.
#[derive(Clone, Copy, Debug)]
pub struct OwnFolder;

impl Shape for OwnFolder {
    fn expected(&self) -> String {
        "an absolute path of letters, digits and `._-+@`, without `..`".to_owned()
    }

    fn json(&self) -> Json {
        json!({ "type": "string", "pattern": patterns::whole(patterns::HOST_PATH) })
    }
}

impl Rule for OwnFolder {
    type Value = PathBuf;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<PathBuf> {
        let folder = reader.text(field, &self.expected(), check::host_path)?;
        let Some(why) = not_own(&folder) else { return Some(folder) };
        let message = format!("`{}` cannot be `{}`: {why}", field.path(), folder.display());
        reader.refuse(field, message, "name a folder of its own, such as `/srv/NAME`")
    }
}

/// Whether one of two folders is, or contains, the other.
pub(super) fn overlap(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_overlaps_itself_and_what_is_in_it() {
        let overlaps = |one, other| overlap(Path::new(one), Path::new(other));
        assert!(overlaps("/srv/a", "/srv/a"));
        assert!(overlaps("/srv/a", "/srv/a/b"));
        assert!(overlaps("/srv/a/b", "/srv/a"));
        assert!(!overlaps("/srv/a", "/srv/ab"));
    }
}
