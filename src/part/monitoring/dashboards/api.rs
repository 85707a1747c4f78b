//! The API: how much it is asked, how often it fails, how long it takes, and what it asks Redis.

use super::{Dashboard, Kind, PANEL, Panel, Query, Unit};

pub(super) const API: Dashboard = Dashboard {
    name: "api",
    title: "API",
    panels: &[
        Panel {
            title: "Requests",
            unit: Unit::PerSecond,
            queries: &[Query(
                r#"sum by (route) (rate(http_requests_total{job="flask",instance=~"$instance"}[$__rate_interval]))"#,
                "{{route}}",
            )],
            ..PANEL
        },
        Panel {
            title: "Answers that are errors",
            unit: Unit::Share,
            queries: &[Query(
                r#"(sum by (instance) (rate(http_requests_total{job="flask",status=~"5..",instance=~"$instance"}[$__rate_interval])) or 0 * sum by (instance) (up{job="flask",instance=~"$instance"})) / sum by (instance) (rate(http_requests_total{job="flask"}[$__rate_interval]))"#,
                "{{instance}}",
            )],
            limits: Some([0.01, 0.05]),
            ..PANEL
        },
        Panel {
            title: "Time of an answer",
            unit: Unit::Seconds,
            queries: &[
                Query(
                    r#"histogram_quantile(0.5, sum by (le) (rate(http_request_duration_seconds_bucket{job="flask",instance=~"$instance"}[$__rate_interval])))"#,
                    "half of them",
                ),
                Query(
                    r#"histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{job="flask",instance=~"$instance"}[$__rate_interval])))"#,
                    "95 of 100",
                ),
                Query(
                    r#"histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{job="flask",instance=~"$instance"}[$__rate_interval])))"#,
                    "99 of 100",
                ),
            ],
            limits: Some([0.25, 1.0]),
            ..PANEL
        },
        Panel {
            title: "99 of 100 answers, by route",
            unit: Unit::Seconds,
            queries: &[Query(
                r#"histogram_quantile(0.99, sum by (route, le) (rate(http_request_duration_seconds_bucket{job="flask",instance=~"$instance"}[$__rate_interval])))"#,
                "{{route}}",
            )],
            ..PANEL
        },
        Panel {
            title: "Answers by status",
            unit: Unit::PerSecond,
            queries: &[Query(
                r#"sum by (status) (rate(http_requests_total{job="flask",instance=~"$instance"}[$__rate_interval]))"#,
                "{{status}}",
            )],
            ..PANEL
        },
        Panel {
            title: "Logins",
            unit: Unit::PerSecond,
            queries: &[Query(
                r#"sum by (outcome) (rate(flask_logins_total{instance=~"$instance"}[$__rate_interval]))"#,
                "{{outcome}}",
            )],
            ..PANEL
        },
        Panel {
            title: "Commands to Redis",
            unit: Unit::PerSecond,
            queries: &[Query(
                r#"sum by (command, outcome) (rate(flask_redis_commands_total{instance=~"$instance"}[$__rate_interval]))"#,
                "{{command}} {{outcome}}",
            )],
            more: Some("redis"),
            ..PANEL
        },
        Panel {
            title: "Time of Redis, 99 of 100 commands",
            unit: Unit::Seconds,
            queries: &[Query(
                r#"histogram_quantile(0.99, sum by (command, le) (rate(flask_redis_command_duration_seconds_bucket{instance=~"$instance"}[$__rate_interval])))"#,
                "{{command}}",
            )],
            limits: Some([0.05, 0.4]),
            more: Some("redis"),
            ..PANEL
        },
        Panel {
            title: "CPU",
            unit: Unit::Plain,
            width: 8,
            queries: &[Query(
                r#"rate(process_cpu_seconds_total{job="flask",instance=~"$instance"}[$__rate_interval])"#,
                "{{instance}}",
            )],
            ..PANEL
        },
        Panel {
            title: "Memory",
            unit: Unit::Bytes,
            width: 8,
            queries: &[Query(
                r#"process_resident_memory_bytes{job="flask",instance=~"$instance"}"#,
                "{{instance}}",
            )],
            ..PANEL
        },
        Panel {
            title: "File descriptors in use",
            kind: Kind::Lines,
            unit: Unit::Share,
            width: 8,
            queries: &[Query(
                r#"process_open_fds{job="flask",instance=~"$instance"} / process_max_fds"#,
                "{{instance}}",
            )],
            limits: Some([0.7, 0.9]),
            ..PANEL
        },
    ],
};
