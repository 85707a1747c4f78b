//! What shows only over time: a host that is well stays quiet, and each trend is told once.

use super::{MINUTE, SETTLE, Watched};
use crate::host::wait_until;
use crate::monitoring::with;

crate::tests! {
    Lab: [an_hour_of_health_is_quiet_and_each_trend_is_told_once],
}

const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn an_hour_of_health_is_quiet_and_each_trend_is_told_once() {
    let mut watched = Watched::new();
    let (code, events) = with(&watched.host, "provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    for minute in 0..=60 {
        watched.is_quiet(MINUTE, &format!("the host is healthy, minute {minute}"));
    }

    a_disk_fills(&mut watched, "space", "fallocate -l 4M /var/log/nginx/large-@");
    a_disk_fills(
        &mut watched,
        "inodes",
        "cd /var/log/nginx && seq -f small-@-%g 100 | xargs touch",
    );
    a_service_does_not_stay_up(&mut watched);
    a_security_update_waits(&mut watched);
}

/// Fills a small disk a bit each half hour.
fn a_disk_fills(watched: &mut Watched, what: &str, fill: &str) {
    watched.now += 2 * DAY;
    watched.host.sh("mount -t tmpfs -o size=64m,nr_inodes=2000,mode=755 tmpfs /var/log/nginx && \
         chown www-data:adm /var/log/nginx && systemctl kill -s USR1 nginx");
    let mut told = watched.told(MINUTE);
    for time in 0..9 {
        watched.host.sh(&fill.replace('@', &time.to_string()));
        told.extend(watched.told(HOUR / 2));
    }
    let ids: Vec<_> = told.iter().map(|message| message["id"].as_str().unwrap()).collect();
    let id = format!("disk-fills//var/log/nginx/{what}");
    assert_eq!(ids, [id.as_str()], "{told:#?}");
    let text = told[0]["text"].as_str().unwrap();
    assert!(
        text.contains(&format!("`/var/log/nginx` fills: it has no {what} left in about")),
        "{text}"
    );

    watched.host.sh("umount -l /var/log/nginx && systemctl kill -s USR1 nginx");
    watched.is_quiet(MINUTE, "it may fill again");
    let (state, ended, text) = watched.told_one(SETTLE, "the disk has space");
    assert_eq!((state.as_str(), ended), ("recovered", id), "{text}");
}

fn a_service_does_not_stay_up(watched: &mut Watched) {
    watched.now += 2 * DAY;
    watched.is_quiet(MINUTE, "the host is healthy");
    for _ in 0..3 {
        watched.host.sh("systemctl kill -s KILL flask-app.service");
        wait_until("it is started again", || {
            watched.host.sh_ok("systemctl is-active flask-app.service")
        });
    }
    let (state, id, text) = watched.told_one(MINUTE, "it was started three times");
    assert_eq!((state.as_str(), id.as_str()), ("fault", "restarts/flask-app.service"), "{text}");
    assert!(text.contains("`flask-app.service` does not stay up"), "{text}");
    watched.is_quiet(MINUTE, "it was told");
    // Its check goes by the host's own clock, and counts from the last start by hand.
    watched.host.sh("systemctl restart flask-app.service");
    watched.is_quiet(SETTLE, "it stays up");
    assert_eq!(watched.told_one(SETTLE, "it stays up").0, "recovered");
}

fn a_security_update_waits(watched: &mut Watched) {
    const LIST: &str = "/var/lib/apt/lists/lab_dists_trixie-security_main_binary-amd64_Packages";
    watched.now += 2 * DAY;
    watched.host.sh(&format!("printf 'Package: bash\\nVersion: 99:1\\n\\n' >{LIST}"));
    watched.is_quiet(MINUTE, "it does not wait for long");
    watched.is_quiet(6 * DAY, "it does not wait for long");
    let (state, id, text) = watched.told_one(2 * DAY, "it has waited for a week");
    assert_eq!((state.as_str(), id.as_str()), ("fault", "security-updates"), "{text}");
    assert!(text.contains("1 security update waits") && text.contains("bash 99:1"), "{text}");
    watched.is_quiet(MINUTE, "it was told");
    watched.host.sh(&format!("rm {LIST}"));
    watched.is_quiet(MINUTE, "it may come back");
    assert_eq!(watched.told_one(SETTLE, "it is installed").0, "recovered");
}
