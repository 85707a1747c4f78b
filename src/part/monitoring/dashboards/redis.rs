//! Redis.

use super::{Dashboard, Kind, PANEL, Panel, Query, Unit};

pub(super) const REDIS: Dashboard = Dashboard {
    name: "redis",
    title: "Redis",
    panels: &[
        Panel {
            title: "Redis",
            kind: Kind::Number,
            unit: Unit::IsUp,
            width: 6,
            queries: &[Query(r#"redis_up{instance=~"$instance"}"#, "{{instance}}")],
            limits: Some([1.0, 0.5]),
            ..PANEL
        },
        Panel {
            title: "Runs since",
            kind: Kind::Number,
            unit: Unit::Seconds,
            width: 6,
            queries: &[Query(r#"redis_uptime_in_seconds{instance=~"$instance"}"#, "{{instance}}")],
            ..PANEL
        },
        Panel {
            title: "Clients",
            kind: Kind::Number,
            width: 6,
            queries: &[Query(r#"redis_connected_clients{instance=~"$instance"}"#, "{{instance}}")],
            limits: Some([256.0, 460.0]),
            ..PANEL
        },
        Panel {
            title: "Connections that were refused",
            kind: Kind::Number,
            width: 6,
            queries: &[Query(
                r#"redis_rejected_connections_total{instance=~"$instance"}"#,
                "{{instance}}",
            )],
            limits: Some([1.0, 10.0]),
            ..PANEL
        },
        Panel {
            title: "Memory in use",
            unit: Unit::Share,
            queries: &[Query(
                r#"redis_memory_used_bytes{instance=~"$instance"} / (redis_memory_max_bytes > 0)"#,
                "{{instance}}",
            )],
            limits: Some([0.75, 0.9]),
            ..PANEL
        },
        Panel {
            title: "Commands",
            unit: Unit::PerSecond,
            queries: &[Query(
                r#"sum by (cmd) (rate(redis_commands_total{instance=~"$instance"}[$__rate_interval])) > 0"#,
                "{{cmd}}",
            )],
            ..PANEL
        },
        Panel {
            title: "Time of a command",
            unit: Unit::Seconds,
            queries: &[Query(
                r#"sum by (cmd) (rate(redis_commands_duration_seconds_total{instance=~"$instance"}[$__rate_interval])) / (sum by (cmd) (rate(redis_commands_total{instance=~"$instance"}[$__rate_interval])) > 0)"#,
                "{{cmd}}",
            )],
            ..PANEL
        },
        Panel {
            title: "Network",
            unit: Unit::BytesPerSecond,
            queries: &[
                Query(
                    r#"rate(redis_net_input_bytes_total{instance=~"$instance"}[$__rate_interval])"#,
                    "{{instance}} in",
                ),
                Query(
                    r#"-rate(redis_net_output_bytes_total{instance=~"$instance"}[$__rate_interval])"#,
                    "{{instance}} out",
                ),
            ],
            ..PANEL
        },
    ],
};
