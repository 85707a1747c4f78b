//! Keeps apt from starting services before they are configured. Debian's own page of nginx is not what was asked for, and
//! starting it, as its package does, twice costs a second. Exporters and Prometheus would listen on all addresses.

use std::fs;
use std::path::{Path, PathBuf};

use super::Host;
use crate::resource::host::systemd::show as show_units;

/// The packages whose services wait, each with the unit that it starts.
const HELD: [(&str, &str); 8] = [
    ("haproxy", "haproxy.service"),
    ("keepalived", "keepalived.service"),
    ("nginx", "nginx.service"),
    ("prometheus", "prometheus.service"),
    ("prometheus-blackbox-exporter", "prometheus-blackbox-exporter.service"),
    ("prometheus-nginx-exporter", "prometheus-nginx-exporter.service"),
    ("prometheus-node-exporter", "prometheus-node-exporter.service"),
    ("prometheus-redis-exporter", "prometheus-redis-exporter.service"),
];
/// The unit that is started all the same where a run is undone, as its package would have. The others are off unless a
/// part has them on: also after an undo and once the part has left the host, when their packages stay.
pub(super) const STARTED_BY_UNDO: &str = "nginx.service";
/// Units that run the program of a package in the place of the package's own unit, each with that.
const IN_PLACE_OF: [(&str, &str); 2] = [
    ("hwctl-balancer.service", "haproxy.service"),
    ("hwctl-virtual-address.service", "keepalived.service"),
];
const FILE: &str = "hwctl-hold.conf";

/// Services that are not started while this is there, and no longer than this process lives.
pub(super) struct Hold<'h> {
    packages: Vec<&'static str>,
    host: &'h Host,
}

impl<'h> Hold<'h> {
    /// Holds each service that apt brings and the plan starts, unless others have one of that name.
    pub(super) async fn of(missing: &[&str], host: &'h Host) -> Self {
        let planned = host.expected_units();
        let is_meant = |(package, unit): &&(&str, &str)| {
            let replaced = IN_PLACE_OF.iter().filter(|(_, replaced)| replaced == unit);
            let wanted = |name: &String| name == unit || replaced.clone().any(|(by, _)| by == name);
            missing.contains(package) && planned.iter().any(wanted)
        };
        let mut hold = Self { packages: Vec::new(), host };
        for (package, unit) in HELD.iter().filter(is_meant) {
            let shown = show_units(host, &[unit], &["LoadState"]).await;
            if shown.is_ok_and(|shown| shown.contains("=not-found")) {
                hold.begin(package, unit);
            }
        }
        hold
    }

    fn begin(&mut self, package: &'static str, unit: &str) {
        let folder = folder(unit, self.host);
        let file = folder.join(FILE);
        // Where it cannot be written, the service is started twice.
        if fs::create_dir_all(&folder).and_then(|()| fs::write(file, text(unit))).is_ok() {
            if unit == STARTED_BY_UNDO && !self.host.is_to_be_off(unit) {
                self.host.hold_unit(unit);
            }
            self.packages.push(package);
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.packages.iter().for_each(|package| release(package, self.host));
    }
}

/// Lets the service of a package be started, once that is set up; also after a run that was cut off.
pub(super) fn release(package: &str, host: &Host) {
    for (_, unit) in HELD.iter().filter(|(held, _)| *held == package) {
        let folder = folder(unit, host);
        let _ = fs::remove_file(folder.join(FILE));
        // Somebody else's files may be in it.
        let _ = fs::remove_dir(folder);
    }
}

/// Takes back that a package has its service start at boot, unless an undo starts that, too, or the service is to be off.
pub(super) async fn switch_off(package: &str, host: &Host) {
    let is_meant = |(held, unit): &&(&str, &str)| {
        let is_off = *unit != STARTED_BY_UNDO || host.is_to_be_off(unit);
        *held == package && is_off && folder(unit, host).join(FILE).exists()
    };
    for (_, unit) in HELD.iter().filter(is_meant) {
        let mut disable = host.command("systemctl");
        // On the disk alone: systemd is busy with the packages.
        disable.env("SYSTEMD_OFFLINE", "1").args(["disable", unit]);
        // Where it fails, the unit is on as its package wants it.
        let _ = disable.output().await;
    }
}

/// Gone with the next boot, whatever happens.
fn folder(unit: &str, host: &Host) -> PathBuf {
    host.path(&Path::new("/run/systemd/system").join(format!("{unit}.d")))
}

/// systemd skips a start while no condition marked `|` holds, and calls it a success
/// (systemd.unit(5)). It looks at them at each start, so one without the file needs no reload.
fn text(unit: &str) -> String {
    format!(
        "[Unit]\nConditionPathExists=|!/run/systemd/system/{unit}.d/{FILE}\nConditionPathExists=|!/proc/{}\n",
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
        let unit = "nginx.service";
        let folder = folder(unit, &host);
        Hold::of(&["nginx"], &host).await;
        assert!(!host.is_held(unit), "the plan does not start it");
        let begin = || {
            let mut hold = Hold { packages: Vec::new(), host: &host };
            hold.begin("nginx", unit);
            hold
        };
        let hold = begin();
        release("ufw", &host);
        assert_eq!(fs::read_to_string(folder.join(FILE)).unwrap(), text(unit));
        drop(hold);
        assert!(!folder.exists() && host.is_held(unit));
        let _hold = begin();
        fs::write(folder.join("theirs.conf"), "").unwrap();
        release("nginx", &host);
        assert!(!folder.join(FILE).exists() && folder.join("theirs.conf").exists());
    }

    #[tokio::test]
    async fn exporters_are_held_and_do_not_count_as_started() {
        let root = tempfile::tempdir().unwrap();
        let host =
            Host::new(root.path(), Box::new(|_| anyhow::bail!("no blobs")), Box::new(|_| ()));
        let (package, unit) = ("prometheus-node-exporter", "prometheus-node-exporter.service");
        let mut hold = Hold { packages: Vec::new(), host: &host };

        hold.begin(package, unit);

        assert!(folder(unit, &host).join(FILE).exists() && !host.is_held(unit));
        host.want_off(STARTED_BY_UNDO);
        hold.begin("nginx", STARTED_BY_UNDO);
        assert!(!host.is_held(STARTED_BY_UNDO), "what is to be off is started by nobody");
        drop(hold);
        assert!(!folder(unit, &host).exists());
    }
}
