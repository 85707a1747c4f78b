//! Which folders of a host hwctl may have to itself.

use std::path::{Component, Path};

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

/// Why hwctl must not have a folder to itself, or `None` if it may.
#[must_use]
pub fn not_own(path: &Path) -> Option<&'static str> {
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
            assert!(not_own(Path::new(path)).is_some(), "{path}");
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
            assert_eq!(not_own(Path::new(path)), None, "{path}");
        }
    }
}
