//! Which folders of a host hwctl may own: what it puts there belongs to root, is served or is run,
//! and is taken away again.

use std::path::{Component, Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::inventory::schema::{Field, Reader, Rule, Shape};
use crate::inventory::{check, patterns};

/// Folders of the system, with all that is below them.
const SYSTEM: [&str; 17] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/lost+found",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/snap",
    "/sys",
    "/tmp",
    "/usr",
    "/var",
];
/// Folders below those in which others may put something.
const EXCEPT: [&str; 1] = ["/var/www"];
/// Folders that belong to many, or to a person. Their own folders may be used.
const SHARED: [(&str, usize); 2] = [("/home", 2), ("/var/www", 1)];

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
        let Some(why) = refusal(&folder) else { return Some(folder) };
        let message = format!("`{}` cannot be `{}`: {why}", field.path(), folder.display());
        reader.refuse(field, message, "name a folder of its own, such as `/srv/NAME`")
    }
}

/// Why hwctl must not own a folder, or None if it may.
fn refusal(path: &Path) -> Option<&'static str> {
    let hidden = path.components().any(|part| match part {
        Component::Normal(name) => name.to_string_lossy().starts_with('.'),
        _ => false,
    });
    if hidden {
        return Some("it is a hidden folder");
    }
    let in_any = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
    if in_any(&SYSTEM) && !in_any(&EXCEPT) {
        return Some("it is a folder of the system");
    }
    // `/` itself is one component.
    let depth = path.components().count() - 1;
    let shared = SHARED.iter().find(|(folder, _)| path.starts_with(folder));
    let (base, below) = shared
        .map_or((0, 2), |(folder, below)| (Path::new(folder).components().count() - 1, *below));
    (depth < base + below).then_some("others have their files in it, too")
}

/// Whether one of two folders is, or contains, the other.
pub(super) fn overlap(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_the_system_and_of_others_are_refused() {
        for path in [
            "/",
            "/srv",
            "/opt",
            "/home",
            "/home/ubuntu",
            "/home/ubuntu/.ssh",
            "/root",
            "/root/site",
            "/var",
            "/var/www",
            "/var/lib/docker",
            "/var/lib/hwctl",
            "/etc/nginx",
            "/etc/hwctl/x",
            "/usr/share/nginx/html",
            "/tmp/site",
            "/run/site",
            "/mnt",
            "/data",
            "/srv/.git",
        ] {
            assert!(refusal(Path::new(path)).is_some(), "{path}");
        }
        for path in [
            "/var/www/main",
            "/var/www/a/b",
            "/srv/site",
            "/srv/a/b",
            "/home/ubuntu/Flask-app",
            "/opt/shop",
            "/data/site",
            "/mnt/disk/site",
            "/variant/site",
            "/etcetera/site",
        ] {
            assert_eq!(refusal(Path::new(path)), None, "{path}");
        }
    }

    #[test]
    fn a_folder_overlaps_itself_and_what_is_in_it() {
        let overlaps = |one, other| overlap(Path::new(one), Path::new(other));
        assert!(overlaps("/srv/a", "/srv/a"));
        assert!(overlaps("/srv/a", "/srv/a/b"));
        assert!(overlaps("/srv/a/b", "/srv/a"));
        assert!(!overlaps("/srv/a", "/srv/ab"));
    }
}
