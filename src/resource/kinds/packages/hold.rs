//! Keeps apt from starting nginx before it is configured: Debian's own page is not what was asked for, and
//! starting it, as its package does, twice costs a second.

use std::fs;
use std::path::Path;

use super::Host;
use crate::resource::host::systemd::show as show_units;

const PACKAGE: &str = "nginx";
/// What that package starts.
pub(super) const UNIT: &str = "nginx.service";
/// Gone with the next boot, whatever happens.
const FOLDER: &str = "/run/systemd/system/nginx.service.d";
const FILE: &str = "hwctl-hold.conf";

/// nginx is not started while this is there, and no longer than this process lives.
pub(super) struct Hold<'h>(&'h Host);

impl<'h> Hold<'h> {
    /// Where apt brings nginx, the plan starts it, and no nginx of others has that name.
    pub(super) async fn of(missing: &[&str], host: &'h Host) -> Option<Self> {
        let is_planned = host.expected_units().iter().any(|unit| unit == UNIT);
        if !missing.contains(&PACKAGE) || !is_planned {
            return None;
        }
        let shown = show_units(host, &[UNIT], &["LoadState"]).await.ok()?;
        if shown.contains("=not-found") { Self::begin(host) } else { None }
    }

    fn begin(host: &'h Host) -> Option<Self> {
        let folder = host.path(Path::new(FOLDER));
        // Where it cannot be written, nginx is started twice.
        fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join(FILE), text())).ok()?;
        host.hold_unit(UNIT);
        Some(Self(host))
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        release(PACKAGE, self.0);
    }
}

/// Lets nginx be started, once its package is set up; also after a run that was cut off.
pub(super) fn release(package: &str, host: &Host) {
    if package == PACKAGE {
        let folder = host.path(Path::new(FOLDER));
        let _ = fs::remove_file(folder.join(FILE));
        // Somebody else's files may be in it.
        let _ = fs::remove_dir(folder);
    }
}

/// systemd skips a start while no condition marked `|` holds, and calls it a success
/// (systemd.unit(5)). It looks at them at each start, so one without the file needs no reload.
fn text() -> String {
    format!(
        "[Unit]\nConditionPathExists=|!{FOLDER}/{FILE}\nConditionPathExists=|!/proc/{}\n",
        std::process::id()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nginx_is_held_until_it_is_installed() {
        let root = tempfile::tempdir().unwrap();
        let host =
            Host::new(root.path(), Box::new(|_| anyhow::bail!("no blobs")), Box::new(|_| ()));
        let folder = host.path(Path::new(FOLDER));
        assert!(Hold::of(&["nginx"], &host).await.is_none(), "the plan does not start it");
        assert!(!host.is_held(UNIT));
        let hold = Hold::begin(&host).unwrap();
        release("ufw", &host);
        assert_eq!(fs::read_to_string(folder.join(FILE)).unwrap(), text());
        drop(hold);
        assert!(!folder.exists() && host.is_held(UNIT));
        let _hold = Hold::begin(&host).unwrap();
        fs::write(folder.join("theirs.conf"), "").unwrap();
        release("nginx", &host);
        assert!(!folder.join(FILE).exists() && folder.join("theirs.conf").exists());
    }
}
