//! What is counted, and the Prometheus text that shows it.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The routes that are counted apart; a label must not be free text from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/flask/`
    Index,
    /// `/flask/api/ping`
    Ping,
    /// `/flask/api/count`
    Count,
    /// `/flask/auth/login`
    Login,
    /// `/flask/api/health`
    Health,
    /// `/flask/metrics`
    Metrics,
    /// `/flask/swagger/` and the document
    Swagger,
    /// Anything else.
    Other,
}

const ROUTES: [(Route, &str); 8] = [
    (Route::Index, "/flask/"),
    (Route::Ping, "/flask/api/ping"),
    (Route::Count, "/flask/api/count"),
    (Route::Login, "/flask/auth/login"),
    (Route::Health, "/flask/api/health"),
    (Route::Metrics, "/flask/metrics"),
    (Route::Swagger, "/flask/swagger/"),
    (Route::Other, "other"),
];

impl Route {
    /// The route that a path belongs to.
    #[must_use]
    pub fn of(path: &str) -> Self {
        match path {
            "/flask/api/ping" => Self::Ping,
            "/flask/api/count" => Self::Count,
            "/flask/auth/login" => Self::Login,
            "/flask/api/health" => Self::Health,
            "/flask/metrics" => Self::Metrics,
            "/flask/" => Self::Index,
            path if path.starts_with("/flask/swagger") || path == "/flask/openapi.json" => {
                Self::Swagger
            }
            _ => Self::Other,
        }
    }
}

/// The statuses that the service answers with, and 0 for any other.
const STATUSES: [u16; 15] =
    [200, 304, 308, 400, 401, 404, 405, 408, 413, 415, 422, 429, 500, 503, 0];
/// Upper bounds of the histogram, in microseconds.
const BOUNDS: [u64; 12] =
    [250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000];

#[derive(Default)]
struct PerRoute {
    statuses: [AtomicU64; STATUSES.len()],
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// All that is counted.
pub struct Metrics {
    routes: [PerRoute; ROUTES.len()],
    started: u64,
    /// Commands that Redis did not answer well.
    pub redis_errors: AtomicU64,
    /// Logins by outcome: granted, refused, limited.
    pub logins: [AtomicU64; 3],
    /// Connections open now.
    pub connections: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self {
            routes: Default::default(),
            started,
            redis_errors: AtomicU64::new(0),
            logins: Default::default(),
            connections: AtomicU64::new(0),
        }
    }
}

impl Metrics {
    /// Counts one request.
    pub fn record(&self, route: Route, status: u16, elapsed: Duration) {
        let counts = &self.routes[route as usize];
        let last = STATUSES.len() - 1;
        let at = STATUSES.iter().position(|known| *known == status).unwrap_or(last);
        counts.statuses[at].fetch_add(1, Relaxed);
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        counts.buckets[BOUNDS.partition_point(|bound| *bound < micros)].fetch_add(1, Relaxed);
        counts.micros.fetch_add(micros, Relaxed);
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn render(&self, redis_up: bool) -> String {
        let mut out = String::with_capacity(8 * 1024);
        self.render_requests(&mut out);
        self.render_durations(&mut out);
        heading(&mut out, "flask_logins_total", "counter", "Login attempts by outcome.");
        for (outcome, count) in ["granted", "refused", "limited"].iter().zip(&self.logins) {
            let _ = writeln!(
                out,
                "flask_logins_total{{outcome=\"{outcome}\"}} {}",
                count.load(Relaxed)
            );
        }
        single(&mut out, "flask_redis_up", "gauge", "Whether Redis answers.", u8::from(redis_up));
        let errors = self.redis_errors.load(Relaxed);
        single(&mut out, "flask_redis_errors_total", "counter", "Failed Redis commands.", errors);
        let open = self.connections.load(Relaxed);
        single(&mut out, "flask_connections", "gauge", "Connections open now.", open);
        if let Some(bytes) = resident_bytes() {
            single(&mut out, "process_resident_memory_bytes", "gauge", "Resident memory.", bytes);
        }
        let started = self.started;
        single(&mut out, "process_start_time_seconds", "gauge", "When it started.", started);
        heading(&mut out, "flask_build_info", "gauge", "The version that runs.");
        let _ = writeln!(out, "flask_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        out
    }

    fn render_requests(&self, out: &mut String) {
        heading(out, "flask_requests_total", "counter", "Requests by route and status.");
        for (route, name) in ROUTES {
            for (status, count) in STATUSES.iter().zip(&self.routes[route as usize].statuses) {
                let count = count.load(Relaxed);
                if count > 0 {
                    let _ = writeln!(
                        out,
                        "flask_requests_total{{route=\"{name}\",status=\"{status}\"}} {count}"
                    );
                }
            }
        }
    }

    fn render_durations(&self, out: &mut String) {
        let metric = "flask_request_duration_seconds";
        heading(out, metric, "histogram", "Time from a request's head to its answer.");
        for (route, name) in ROUTES {
            let counts = &self.routes[route as usize];
            let mut total = 0;
            for (at, bucket) in counts.buckets.iter().enumerate() {
                total += bucket.load(Relaxed);
                let bound = BOUNDS
                    .get(at)
                    .map_or_else(|| "+Inf".to_owned(), |b| (*b as f64 / 1e6).to_string());
                let _ = writeln!(out, "{metric}_bucket{{route=\"{name}\",le=\"{bound}\"}} {total}");
            }
            let seconds = counts.micros.load(Relaxed) as f64 / 1e6;
            let _ = writeln!(out, "{metric}_sum{{route=\"{name}\"}} {seconds}");
            let _ = writeln!(out, "{metric}_count{{route=\"{name}\"}} {total}");
        }
    }
}

fn heading(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn single(out: &mut String, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
    heading(out, name, kind, help);
    let _ = writeln!(out, "{name} {value}");
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}
