//! What is counted, and the text in Prometheus's exposition format that shows it. Names and units follow Prometheus's
//! conventions: `_total` for counters, seconds and bytes for all that is measured.

mod histogram;
mod process;
mod redis;
mod route;

use std::{
    fmt::{Display, Write as _},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hyper::Method;

use histogram::Histogram;
use redis::RedisMetrics;
use route::ROUTES;
pub use route::Route;

/// The methods that are counted apart. Any other is a refusal, whichever name it has.
const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "other"];
/// The statuses that the service answers with, and 0 for any other.
const STATUSES: [u16; 15] =
    [200, 304, 308, 400, 401, 404, 405, 408, 413, 415, 422, 429, 500, 503, 0];

/// The requests of one route by one method.
#[derive(Default)]
struct Requests {
    statuses: [AtomicU64; STATUSES.len()],
    durations: Histogram,
}

/// All that is counted.
pub struct Metrics {
    requests: [[Requests; METHODS.len()]; ROUTES.len()],
    /// Unix time, in seconds.
    started: f64,
    /// The commands that Redis was asked.
    pub redis: RedisMetrics,
    /// Logins by outcome: granted, refused, limited.
    pub logins: [AtomicU64; 3],
    /// Connections open now.
    pub connections: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            requests: Default::default(),
            started: started.as_secs_f64(),
            redis: RedisMetrics::default(),
            logins: Default::default(),
            connections: AtomicU64::new(0),
        }
    }
}

impl Metrics {
    /// Counts one request.
    pub fn record(&self, method: &Method, route: Route, status: u16, elapsed: Duration) {
        let last = METHODS.len() - 1;
        let method = METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(last);
        let counts = &self.requests[route as usize][method];
        let last = STATUSES.len() - 1;
        let status = STATUSES.iter().position(|known| *known == status).unwrap_or(last);
        counts.statuses[status].fetch_add(1, Relaxed);
        counts.durations.observe(elapsed);
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn render(&self, redis_up: bool) -> String {
        let mut out = String::with_capacity(8 * 1024);
        self.render_requests(&mut out);
        self.render_durations(&mut out);
        self.redis.render(&mut out, redis_up);
        heading(&mut out, "flask_logins_total", "counter", "Login attempts by outcome.");
        for (outcome, count) in ["granted", "refused", "limited"].iter().zip(&self.logins) {
            let count = count.load(Relaxed);
            let _ = writeln!(out, "flask_logins_total{{outcome=\"{outcome}\"}} {count}");
        }
        let open = self.connections.load(Relaxed);
        single(&mut out, "flask_connections", "gauge", "Connections open now.", open);
        heading(&mut out, "flask_build_info", "gauge", "The version that runs.");
        let _ = writeln!(out, "flask_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        process::render(&mut out, self.started);
        out
    }

    /// What was asked at least once, with its labels.
    fn asked(&self) -> impl Iterator<Item = (String, &Requests)> {
        ROUTES.iter().flat_map(|(route, name)| {
            let methods = METHODS.iter().zip(&self.requests[*route as usize]);
            methods.filter(|(_, requests)| requests.durations.count() > 0).map(
                move |(method, requests)| {
                    (format!("method=\"{method}\",route=\"{name}\""), requests)
                },
            )
        })
    }

    fn render_requests(&self, out: &mut String) {
        let metric = "http_requests_total";
        heading(out, metric, "counter", "Requests by method, route and status.");
        for (labels, requests) in self.asked() {
            for (status, count) in STATUSES.iter().zip(&requests.statuses) {
                let count = count.load(Relaxed);
                if count > 0 {
                    let _ = writeln!(out, "{metric}{{{labels},status=\"{status}\"}} {count}");
                }
            }
        }
    }

    fn render_durations(&self, out: &mut String) {
        let metric = "http_request_duration_seconds";
        heading(out, metric, "histogram", "Time from a request's head to its answer.");
        for (labels, requests) in self.asked() {
            requests.durations.render(out, metric, &labels);
        }
    }
}

fn heading(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn single(out: &mut String, name: &str, kind: &str, help: &str, value: impl Display) {
    heading(out, name, kind, help);
    let _ = writeln!(out, "{name} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(metrics: &Metrics) -> Vec<String> {
        metrics.render(true).lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_request_is_counted_by_method_route_and_status() {
        let metrics = Metrics::default();

        metrics.record(&Method::GET, Route::Ping, 200, Duration::from_millis(3));
        metrics.record(&Method::GET, Route::Ping, 200, Duration::from_millis(30));
        metrics.record(&Method::DELETE, Route::Ping, 405, Duration::ZERO);

        let lines = lines(&metrics);
        for line in [
            r#"http_requests_total{method="GET",route="/flask/api/ping",status="200"} 2"#,
            r#"http_requests_total{method="other",route="/flask/api/ping",status="405"} 1"#,
            r#"http_request_duration_seconds_bucket{method="GET",route="/flask/api/ping",le="0.005"} 1"#,
            r#"http_request_duration_seconds_bucket{method="GET",route="/flask/api/ping",le="+Inf"} 2"#,
            r#"http_request_duration_seconds_sum{method="GET",route="/flask/api/ping"} 0.033"#,
            r#"http_request_duration_seconds_count{method="GET",route="/flask/api/ping"} 2"#,
        ] {
            assert!(lines.iter().any(|found| found == line), "no `{line}` in {lines:#?}");
        }
    }

    #[test]
    fn each_metric_has_one_heading_and_its_samples_follow_it() {
        let metrics = Metrics::default();
        metrics.record(&Method::POST, Route::Login, 401, Duration::from_millis(40));
        metrics.redis.record(b"INCRBY", true, Duration::from_micros(300));

        let mut seen = Vec::new();
        for line in lines(&metrics) {
            let Some(heading) = line.strip_prefix("# TYPE ") else {
                let current = seen.last().cloned().unwrap_or_default();
                let is_help = line.starts_with("# HELP ");
                assert!(is_help || line.starts_with(&current), "`{line}` is not of `{current}`");
                continue;
            };
            let name = heading.split(' ').next().unwrap_or_default().to_owned();
            assert!(!seen.contains(&name), "`{name}` has two headings");
            seen.push(name);
        }
        for name in ["http_requests_total", "process_cpu_seconds_total", "process_open_fds"] {
            assert!(seen.iter().any(|found| found == name), "no `{name}` in {seen:?}");
        }
    }
}
