//! nginx and the sites behind it, as the host itself gets them.

use super::{Dashboard, Kind, PANEL, Panel, Query, Unit};

pub(super) const NGINX_AND_SITES: Dashboard = Dashboard {
    name: "nginx",
    title: "nginx and sites",
    panels: &[
        Panel {
            title: "nginx",
            kind: Kind::Number,
            unit: Unit::IsUp,
            width: 6,
            queries: &[Query(r#"nginx_up{instance=~"$instance"}"#, "{{instance}}")],
            limits: Some([1.0, 0.5]),
            ..PANEL
        },
        Panel {
            title: "Pages that do not answer",
            kind: Kind::Number,
            width: 6,
            queries: &[Query(
                r#"count by (instance) (probe_success{job="pages",instance=~"$instance"}) - sum by (instance) (probe_success{job="pages"})"#,
                "{{instance}}",
            )],
            limits: Some([1.0, 2.0]),
            ..PANEL
        },
        Panel {
            title: "The certificate is valid for",
            kind: Kind::Number,
            unit: Unit::Days,
            width: 6,
            queries: &[Query(
                r#"(probe_ssl_earliest_cert_expiry{job="certificate",instance=~"$instance"} - time()) / 86400"#,
                "{{instance}}",
            )],
            limits: Some([28.0, 14.0]),
            ..PANEL
        },
        Panel {
            title: "Connections that were dropped",
            kind: Kind::Number,
            width: 6,
            queries: &[Query(
                r#"nginx_connections_accepted{instance=~"$instance"} - nginx_connections_handled"#,
                "{{instance}}",
            )],
            limits: Some([1.0, 100.0]),
            ..PANEL
        },
        Panel {
            title: "Requests",
            unit: Unit::PerSecond,
            queries: &[Query(
                r#"rate(nginx_http_requests_total{instance=~"$instance"}[$__rate_interval])"#,
                "{{instance}}",
            )],
            more: Some("api"),
            ..PANEL
        },
        Panel {
            title: "Connections",
            queries: &[
                Query(r#"nginx_connections_active{instance=~"$instance"}"#, "{{instance}} open"),
                Query(
                    r#"nginx_connections_waiting{instance=~"$instance"}"#,
                    "{{instance}} waiting for a request",
                ),
            ],
            ..PANEL
        },
        Panel {
            title: "Time of an answer, by page",
            unit: Unit::Seconds,
            queries: &[Query(
                r#"probe_duration_seconds{job="pages",instance=~"$instance"}"#,
                "{{instance}} {{page}}",
            )],
            ..PANEL
        },
        Panel {
            title: "Pages",
            kind: Kind::Bars,
            unit: Unit::IsUp,
            queries: &[Query(
                r#"probe_success{job="pages",instance=~"$instance"}"#,
                "{{instance}} {{page}}",
            )],
            limits: Some([1.0, 0.5]),
            ..PANEL
        },
    ],
};
