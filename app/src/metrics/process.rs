//! What the kernel says of this process, by the names that all of Prometheus's own clients have.

use std::fs;

use super::single;

/// Ticks of the kernel's clock a second. Linux shows times to programs in this unit on every architecture (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Writes what can be read; a sample that cannot is left out.
pub(super) fn render(out: &mut String, started: f64) {
    if let Some(seconds) = cpu_seconds() {
        let help = "User and system time on CPUs.";
        single(out, "process_cpu_seconds_total", "counter", help, seconds);
    }
    for (name, key, help) in [
        ("process_resident_memory_bytes", "VmRSS:", "Resident memory."),
        ("process_virtual_memory_bytes", "VmSize:", "Virtual memory."),
    ] {
        if let Some(bytes) = memory(key) {
            single(out, name, "gauge", help, bytes);
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The directory itself is open while it is read.
        let open = open.count().saturating_sub(1);
        single(out, "process_open_fds", "gauge", "Open file descriptors.", open);
    }
    if let Some(most) = most_files() {
        single(out, "process_max_fds", "gauge", "The most file descriptors it may have.", most);
    }
    let help = "When it started, in Unix time.";
    single(out, "process_start_time_seconds", "gauge", help, started);
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program is in brackets and may hold spaces; `utime` and `stime` are fields 14 and 15 (proc(5)).
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

/// A size of `/proc/self/status`, in bytes.
fn memory(key: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

fn most_files() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
