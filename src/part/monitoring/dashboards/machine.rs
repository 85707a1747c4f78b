//! The host: CPUs, memory, disks, network, services.

use super::{Dashboard, Kind, PANEL, Panel, Query, Unit};

pub(super) const HOST: Dashboard = Dashboard {
    name: "host",
    title: "Host",
    panels: &[
        Panel {
            title: "Runs since",
            kind: Kind::Number,
            unit: Unit::Seconds,
            width: 6,
            queries: &[Query(
                r#"time() - node_boot_time_seconds{instance=~"$instance"}"#,
                "{{instance}}",
            )],
            ..PANEL
        },
        Panel {
            title: "Load for each CPU",
            kind: Kind::Number,
            unit: Unit::Plain,
            width: 6,
            queries: &[Query(
                r#"node_load5{instance=~"$instance"} / on (instance) count by (instance) (node_cpu_seconds_total{mode="idle"})"#,
                "{{instance}}",
            )],
            limits: Some([1.0, 2.0]),
            ..PANEL
        },
        Panel {
            title: "Services that failed",
            kind: Kind::Number,
            width: 6,
            queries: &[Query(
                r#"sum by (instance) (node_systemd_unit_state{state="failed",instance=~"$instance"})"#,
                "{{instance}}",
            )],
            limits: Some([1.0, 2.0]),
            ..PANEL
        },
        Panel {
            title: "Restarts in the last hour",
            kind: Kind::Number,
            width: 6,
            queries: &[Query(
                r#"sum by (instance) (increase(node_systemd_service_restart_total{instance=~"$instance"}[1h]))"#,
                "{{instance}}",
            )],
            limits: Some([1.0, 4.0]),
            ..PANEL
        },
        Panel {
            title: "CPU in use",
            unit: Unit::Share,
            queries: &[Query(
                r#"1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle",instance=~"$instance"}[$__rate_interval]))"#,
                "{{instance}}",
            )],
            limits: Some([0.8, 0.95]),
            ..PANEL
        },
        Panel {
            title: "Memory in use",
            unit: Unit::Share,
            queries: &[Query(
                r#"1 - node_memory_MemAvailable_bytes{instance=~"$instance"} / node_memory_MemTotal_bytes"#,
                "{{instance}}",
            )],
            limits: Some([0.8, 0.9]),
            ..PANEL
        },
        Panel {
            title: "Disk space in use",
            kind: Kind::Bars,
            unit: Unit::Share,
            queries: &[Query(
                r#"1 - node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs|squashfs",instance=~"$instance"} / node_filesystem_size_bytes"#,
                "{{instance}} {{mountpoint}}",
            )],
            limits: Some([0.8, 0.95]),
            ..PANEL
        },
        Panel {
            title: "Inodes in use",
            kind: Kind::Bars,
            unit: Unit::Share,
            queries: &[Query(
                r#"1 - node_filesystem_files_free{fstype!~"tmpfs|ramfs|squashfs",instance=~"$instance"} / (node_filesystem_files > 0)"#,
                "{{instance}} {{mountpoint}}",
            )],
            limits: Some([0.8, 0.95]),
            ..PANEL
        },
        Panel {
            title: "Network",
            unit: Unit::BytesPerSecond,
            queries: &[
                Query(
                    r#"sum by (instance) (rate(node_network_receive_bytes_total{device!="lo",instance=~"$instance"}[$__rate_interval]))"#,
                    "{{instance}} in",
                ),
                Query(
                    r#"-sum by (instance) (rate(node_network_transmit_bytes_total{device!="lo",instance=~"$instance"}[$__rate_interval]))"#,
                    "{{instance}} out",
                ),
            ],
            ..PANEL
        },
        Panel {
            title: "Disks",
            unit: Unit::BytesPerSecond,
            queries: &[
                Query(
                    r#"sum by (instance) (rate(node_disk_read_bytes_total{instance=~"$instance"}[$__rate_interval]))"#,
                    "{{instance}} read",
                ),
                Query(
                    r#"-sum by (instance) (rate(node_disk_written_bytes_total{instance=~"$instance"}[$__rate_interval]))"#,
                    "{{instance}} written",
                ),
            ],
            ..PANEL
        },
    ],
};
