//! All hosts on one screen, each with what matters most.

use super::{Dashboard, Kind, PANEL, Panel, Query, Unit};

pub(super) const FLEET: Dashboard = Dashboard {
    name: "fleet",
    title: "Fleet",
    panels: &[
        Panel {
            title: "Hosts",
            kind: Kind::Bars,
            unit: Unit::IsUp,
            queries: &[Query(r#"up{job="node",instance=~"$instance"}"#, "{{instance}}")],
            limits: Some([1.0, 0.5]),
            more: Some("host"),
            ..PANEL
        },
        Panel {
            title: "Targets that show no metrics",
            kind: Kind::Bars,
            queries: &[Query(
                r#"count by (instance) (up{instance=~"$instance"}) - sum by (instance) (up)"#,
                "{{instance}}",
            )],
            limits: Some([1.0, 2.0]),
            ..PANEL
        },
        Panel {
            title: "CPU in use",
            kind: Kind::Bars,
            unit: Unit::Share,
            width: 8,
            queries: &[Query(
                r#"1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle",instance=~"$instance"}[$__rate_interval]))"#,
                "{{instance}}",
            )],
            limits: Some([0.8, 0.95]),
            more: Some("host"),
        },
        Panel {
            title: "Memory in use",
            kind: Kind::Bars,
            unit: Unit::Share,
            width: 8,
            queries: &[Query(
                r#"1 - node_memory_MemAvailable_bytes{instance=~"$instance"} / node_memory_MemTotal_bytes"#,
                "{{instance}}",
            )],
            limits: Some([0.8, 0.9]),
            more: Some("host"),
        },
        Panel {
            title: "Fullest disk",
            kind: Kind::Bars,
            unit: Unit::Share,
            width: 8,
            queries: &[Query(
                r#"max by (instance) (1 - node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs|squashfs",instance=~"$instance"} / node_filesystem_size_bytes)"#,
                "{{instance}}",
            )],
            limits: Some([0.8, 0.95]),
            more: Some("host"),
        },
        Panel {
            title: "Requests",
            unit: Unit::PerSecond,
            width: 8,
            queries: &[Query(
                r#"sum by (instance) (rate(http_requests_total{instance=~"$instance"}[$__rate_interval]))"#,
                "{{instance}}",
            )],
            more: Some("api"),
            ..PANEL
        },
        Panel {
            title: "Answers that are errors",
            unit: Unit::Share,
            width: 8,
            queries: &[Query(
                r#"(sum by (instance) (rate(http_requests_total{status=~"5..",instance=~"$instance"}[$__rate_interval])) or 0 * sum by (instance) (up{job="flask",instance=~"$instance"})) / sum by (instance) (rate(http_requests_total[$__rate_interval]))"#,
                "{{instance}}",
            )],
            limits: Some([0.01, 0.05]),
            more: Some("api"),
            ..PANEL
        },
        Panel {
            title: "99 of 100 answers",
            unit: Unit::Seconds,
            width: 8,
            queries: &[Query(
                r#"histogram_quantile(0.99, sum by (instance, le) (rate(http_request_duration_seconds_bucket{instance=~"$instance"}[$__rate_interval])))"#,
                "{{instance}}",
            )],
            limits: Some([0.25, 1.0]),
            more: Some("api"),
            ..PANEL
        },
    ],
};
