//! How much this host does, for a screen that looks again and again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::engine::driver::{Case, Drivers};
use crate::engine::record::specs;
use crate::event::{Measure, Sign, Vitals};
use crate::resource::Host;

/// A part that does not answer by then has no signs this time.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads the counters of the host and of its parts. What cannot be read is left out.
pub(in crate::engine) async fn vitals(host: &Host, drivers: Drivers) -> Vitals {
    let parts = specs::read(host).ok().flatten().unwrap_or_default();
    let of_parts = parts.iter().filter_map(|part| Some((part, drivers.of(part)?)));
    let asked = of_parts.map(async |(part, driver)| {
        let case = Case { host, part };
        let signs = timeout(PATIENCE, driver.signs(&case)).await;
        signs.ok().and_then(Result::ok).unwrap_or_default()
    });
    let of_parts = join_all(asked).await;
    let mut signs = Vec::new();
    let read = |path: &str| fs::read_to_string(host.path(Path::new(path))).unwrap_or_default();
    signs.extend(cpu(&read("/proc/stat")).map(|measure| Sign::new("CPU", measure)));
    signs.extend(memory(&read("/proc/meminfo")).map(|measure| Sign::new("memory", measure)));
    signs.extend(of_parts.into_iter().flatten());
    Vitals { at_ms: uptime_ms(&read("/proc/uptime")).unwrap_or_default(), signs }
}

fn uptime_ms(text: &str) -> Option<u64> {
    let (seconds, hundredths) = text.split(' ').next()?.split_once('.')?;
    Some(seconds.parse::<u64>().ok()? * 1000 + hundredths.parse::<u64>().ok()? * 10)
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal. See `proc_stat(5)`.
fn cpu(text: &str) -> Option<Measure> {
    let fields = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let times: Vec<u64> = fields.take(8).map_while(|field| field.parse().ok()).collect();
    let idle = times.get(3)? + times.get(4)?;
    let all = times.iter().sum();
    Some(Measure::Busy { busy: all - idle, all })
}

/// What programs could not get is used. See `proc_meminfo(5)`.
fn memory(text: &str) -> Option<Measure> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    let all = field("MemTotal")?;
    let used = all.saturating_sub(field("MemAvailable")?);
    Some(Measure::Fill { used: used << 10, all: all << 10 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let stat = "cpu  100 5 50 800 40 0 5 0 0 0\ncpu0 1 2 3 4\n";
        assert_eq!(cpu(stat), Some(Measure::Busy { busy: 160, all: 1000 }));
        let meminfo = "MemTotal:        2048 kB\nMemFree: 100 kB\nMemAvailable:    1024 kB\n";
        assert_eq!(memory(meminfo), Some(Measure::Fill { used: 1 << 20, all: 2 << 20 }));
        assert_eq!(uptime_ms("12.34 5.6\n"), Some(12_340));
        for damaged in ["", "cpu", "cpu  1 2", "MemTotal: x kB"] {
            assert_eq!((cpu(damaged), memory(damaged), uptime_ms(damaged)), (None, None, None));
        }
    }
}
