//! How much the API does, from the metrics that it tells at its socket.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};

use super::health::ask;
use crate::engine::Case;
use crate::event::{Measure, Sign};

/// Where the API tells its metrics, as Prometheus reads them.
const PATH: &str = "/flask/metrics";

pub(super) async fn signs(case: &Case<'_>) -> Result<Vec<Sign>> {
    let socket = case.part.settings.get("socket").context("its spec names no socket")?;
    let (status, text) = ask(socket.as_ref(), PATH).await?;
    if status != 200 {
        bail!("it answers {status} to {PATH}");
    }
    Ok(read(&text))
}

/// Requests, answers of 500 and more, and how long requests took. What asks for the metrics is left out.
fn read(text: &str) -> Vec<Sign> {
    let (mut requests, mut errors) = (0, 0);
    let mut durations: BTreeMap<u64, u64> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.contains("route=\"/flask/metrics\"")) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let Ok(value) = value.parse::<u64>() else { continue };
        if series.starts_with("http_requests_total{") {
            requests += value;
            if label(series, "status").is_some_and(|status| status.starts_with('5')) {
                errors += value;
            }
        } else if series.starts_with("http_request_duration_seconds_bucket{") {
            let bound = label(series, "le").and_then(micros);
            *durations.entry(bound.unwrap_or(u64::MAX)).or_default() += value;
        }
    }
    vec![
        Sign::new("requests", Measure::Count(requests)),
        Sign::new("errors", Measure::Count(errors)),
        Sign::new("p99", Measure::Durations(durations.into_iter().collect())),
    ]
}

fn label<'a>(series: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = series.split_once(&format!("{name}=\""))?;
    rest.split('"').next()
}

/// A bound in seconds as microseconds. None for `+Inf`.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounds are up to some seconds"
)]
fn micros(seconds: &str) -> Option<u64> {
    let seconds: f64 = seconds.parse().ok()?;
    seconds.is_finite().then(|| (seconds * 1e6).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_become_signs() {
        let text = "# TYPE http_requests_total counter\n\
                    http_requests_total{method=\"GET\",route=\"/flask/api/ping\",status=\"200\"} 7\n\
                    http_requests_total{method=\"GET\",route=\"/flask/api/count\",status=\"503\"} 2\n\
                    http_requests_total{method=\"GET\",route=\"/flask/metrics\",status=\"200\"} 90\n\
                    http_request_duration_seconds_bucket{route=\"/flask/api/ping\",le=\"0.005\"} 6\n\
                    http_request_duration_seconds_bucket{route=\"/flask/api/ping\",le=\"+Inf\"} 7\n\
                    http_request_duration_seconds_bucket{route=\"/flask/api/count\",le=\"0.005\"} 2\n\
                    http_request_duration_seconds_bucket{route=\"/flask/api/count\",le=\"+Inf\"} 2\n";

        let signs = read(text);

        assert_eq!(signs[0].measure, Measure::Count(9));
        assert_eq!(signs[1].measure, Measure::Count(2));
        assert_eq!(signs[2].measure, Measure::Durations(vec![(5000, 8), (u64::MAX, 9)]));
    }
}
