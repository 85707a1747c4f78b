//! Keeps apt from starting nginx before it is configured: what Debian's own page would show to the world
//! is not what was asked for, and the package's scripts, which then have to restart it, take a second more.

use std::fs;
use std::path::Path;

use super::Host;

const PACKAGE: &str = "nginx";
const PROGRAM: &str = "/usr/sbin/nginx";
const UNIT: &str = "nginx.service";
/// Gone with the next boot, whatever happens.
const FOLDER: &str = "/run/systemd/system/nginx.service.d";
const FILE: &str = "hwctl-hold.conf";

/// nginx is not started while this is there, and no longer than this process lives.
pub(super) struct Hold<'h>(&'h Host);

impl<'h> Hold<'h> {
    /// For nginx that is installed and that hwctl itself starts later; with any other, apt does as ever.
    pub(super) fn of(missing: &[&str], host: &'h Host) -> Option<Self> {
        let is_ours = host.expected_units().iter().any(|unit| unit == UNIT);
        let is_there = host.path(Path::new(PROGRAM)).exists();
        if !missing.contains(&PACKAGE) || is_there || !is_ours {
            return None;
        }
        let folder = host.path(Path::new(FOLDER));
        // Where it cannot be written, nginx is started twice.
        fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join(FILE), text())).ok()?;
        Some(Self(host))
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        release(PACKAGE, self.0);
    }
}

/// Lets nginx be started, once its package is set up. systemd need not read anything anew for it.
pub(super) fn release(package: &str, host: &Host) {
    if package == PACKAGE {
        let folder = host.path(Path::new(FOLDER));
        let _ = fs::remove_file(folder.join(FILE));
        // Somebody else's files may be in it.
        let _ = fs::remove_dir(folder);
    }
}

/// systemd skips a start of which no condition marked `|` holds, and calls it a success
/// (systemd.unit(5)).
fn text() -> String {
    format!(
        "[Unit]\nConditionPathExists=|!{FOLDER}/{FILE}\nConditionPathExists=|!/proc/{}\n",
        std::process::id()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_is_held_while_it_is_installed_for_its_unit() {
        let root = tempfile::tempdir().unwrap();
        let host =
            Host::new(root.path(), Box::new(|_| anyhow::bail!("no blobs")), Box::new(|_| ()));
        let folder = host.path(Path::new(FOLDER));
        assert!(Hold::of(&["nginx"], &host).is_none(), "hwctl does not start it");
        host.expect_unit(UNIT);
        assert!(Hold::of(&["ufw"], &host).is_none());
        {
            let _hold = Hold::of(&["ufw", "nginx"], &host).unwrap();
            release("ufw", &host);
            assert_eq!(fs::read_to_string(folder.join(FILE)).unwrap(), text());
        }
        assert!(!folder.exists());
        let _hold = Hold::of(&["nginx"], &host).unwrap();
        fs::write(folder.join("theirs.conf"), "").unwrap();
        release("nginx", &host);
        assert!(!folder.join(FILE).exists() && folder.join("theirs.conf").exists());
        fs::create_dir_all(root.path().join("usr/sbin")).unwrap();
        fs::write(host.path(Path::new(PROGRAM)), "").unwrap();
        assert!(Hold::of(&["nginx"], &host).is_none(), "one is there that may serve");
    }
}
