//! Each alert rule fires on series of a host that is in trouble, and is silent on those of a host that is well. promtool
//! says so.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::host::Provisioned;

/// Series with their values, one each minute, as promtool writes them.
type Series = &'static [(&'static str, &'static str)];

/// The alert, series on which it fires, and series on which it does not.
const RULES: &[(&str, Series, Series)] = &[
    (
        "HostDown",
        &[(r#"up{job="node",instance="vm"}"#, "0x200")],
        &[(r#"up{job="node",instance="vm"}"#, "1x200")],
    ),
    (
        "TargetDown",
        &[(r#"up{job="redis",instance="vm"}"#, "0x200")],
        &[(r#"up{job="redis",instance="vm"}"#, "1x200")],
    ),
    (
        "WebHostDown",
        &[(r#"haproxy_server_status{proxy="web",server="web1",state="DOWN"}"#, "1x200")],
        // One that is drained is not down.
        &[
            (r#"haproxy_server_status{proxy="web",server="web1",state="DOWN"}"#, "0x200"),
            (r#"haproxy_server_status{proxy="web",server="web1",state="DRAIN"}"#, "1x200"),
        ],
    ),
    (
        "DiskFilling",
        &[
            (r#"node_filesystem_avail_bytes{fstype="ext4",mountpoint="/"}"#, "390-1x200"),
            (r#"node_filesystem_size_bytes{fstype="ext4",mountpoint="/"}"#, "1000x200"),
        ],
        &[
            (r#"node_filesystem_avail_bytes{fstype="ext4",mountpoint="/"}"#, "390x200"),
            (r#"node_filesystem_size_bytes{fstype="ext4",mountpoint="/"}"#, "1000x200"),
        ],
    ),
    (
        "DiskFull",
        &[
            (r#"node_filesystem_avail_bytes{fstype="ext4",mountpoint="/"}"#, "40x200"),
            (r#"node_filesystem_size_bytes{fstype="ext4",mountpoint="/"}"#, "1000x200"),
        ],
        &[
            (r#"node_filesystem_avail_bytes{fstype="ext4",mountpoint="/"}"#, "60x200"),
            (r#"node_filesystem_size_bytes{fstype="ext4",mountpoint="/"}"#, "1000x200"),
        ],
    ),
    (
        "DiskFull",
        &[
            (r#"node_filesystem_files_free{fstype="ext4",mountpoint="/"}"#, "4x200"),
            (r#"node_filesystem_files{fstype="ext4",mountpoint="/"}"#, "100x200"),
        ],
        // A file system without a limit of inodes.
        &[
            (r#"node_filesystem_files_free{fstype="btrfs",mountpoint="/"}"#, "0x200"),
            (r#"node_filesystem_files{fstype="btrfs",mountpoint="/"}"#, "0x200"),
        ],
    ),
    (
        "MemoryLow",
        &[("node_memory_MemAvailable_bytes", "5x200"), ("node_memory_MemTotal_bytes", "100x200")],
        &[("node_memory_MemAvailable_bytes", "50x200"), ("node_memory_MemTotal_bytes", "100x200")],
    ),
    (
        "ServiceRestarts",
        &[(r#"node_systemd_service_restart_total{name="shop.service"}"#, "0+1x200")],
        &[(r#"node_systemd_service_restart_total{name="shop.service"}"#, "7x200")],
    ),
    (
        "PageDown",
        &[(r#"probe_success{job="pages",page="/"}"#, "0x200")],
        &[(r#"probe_success{job="pages",page="/"}"#, "1x200")],
    ),
    // The clock of promtool begins at 0: five days are left, and ninety.
    (
        "CertificateExpires",
        &[(r#"probe_ssl_earliest_cert_expiry{job="certificate"}"#, "432000x200")],
        &[(r#"probe_ssl_earliest_cert_expiry{job="certificate"}"#, "7776000x200")],
    ),
    (
        "ErrorRate",
        &[
            (r#"http_requests_total{job="flask",status="500"}"#, "0+10x200"),
            (r#"http_requests_total{job="flask",status="200"}"#, "0+100x200"),
        ],
        &[
            (r#"http_requests_total{job="flask",status="500"}"#, "0+1x200"),
            (r#"http_requests_total{job="flask",status="404"}"#, "0+100x200"),
        ],
    ),
    (
        "SlowAnswers",
        &[
            (
                r#"http_request_duration_seconds_bucket{route="/flask/api/count",le="1"}"#,
                "0+90x200",
            ),
            (
                r#"http_request_duration_seconds_bucket{route="/flask/api/count",le="5"}"#,
                "0+100x200",
            ),
            (
                r#"http_request_duration_seconds_bucket{route="/flask/api/count",le="+Inf"}"#,
                "0+100x200",
            ),
        ],
        // Logins are slow on purpose.
        &[
            (
                r#"http_request_duration_seconds_bucket{route="/flask/auth/login",le="1"}"#,
                "0+0x200",
            ),
            (
                r#"http_request_duration_seconds_bucket{route="/flask/auth/login",le="+Inf"}"#,
                "0+100x200",
            ),
            (
                r#"http_request_duration_seconds_bucket{route="/flask/api/count",le="1"}"#,
                "0+100x200",
            ),
            (
                r#"http_request_duration_seconds_bucket{route="/flask/api/count",le="+Inf"}"#,
                "0+100x200",
            ),
        ],
    ),
    ("RedisDown", &[("redis_up", "0x200")], &[("redis_up", "1x200")]),
    (
        "RedisMemory",
        &[("redis_memory_used_bytes", "95x200"), ("redis_memory_max_bytes", "100x200")],
        // Without a limit.
        &[("redis_memory_used_bytes", "95x200"), ("redis_memory_max_bytes", "0x200")],
    ),
];

/// Which alerts fire after two and a half hours: all have waited for their times by then.
fn case(series: Series, fires: Option<&str>) -> Value {
    let input: Vec<_> = series
        .iter()
        .map(|(series, values)| json!({ "series": series, "values": values }))
        .collect();
    let sample = |name| json!({ "labels": format!("{{alertname=\"{name}\"}}"), "value": 1 });
    let expected: Vec<_> = fires.into_iter().map(sample).collect();
    let question = r#"count by (alertname) (ALERTS{alertstate="firing"})"#;
    json!({
        "interval": "1m",
        "input_series": input,
        "promql_expr_test": [{ "expr": question, "eval_time": "150m", "exp_samples": expected }],
    })
}

/// Has promtool try the rules of a host that has it.
pub(super) fn each_fires_on_trouble_and_on_nothing_else(host: &Provisioned) {
    let cases = RULES
        .iter()
        .flat_map(|(name, bad, good)| [case(bad, Some(name)), case(good, None)])
        .collect::<Vec<_>>();
    let tests = json!({
        "rule_files": ["/etc/hwctl/prometheus/alerts.yml"], "evaluation_interval": "1m", "tests": cases,
    });
    fs::write(host.host.root().join("root/rules.yml"), tests.to_string()).unwrap();

    host.sh("promtool test rules /root/rules.yml 2>&1");

    let rules = host.sh("grep -o 'alert: .*' /etc/hwctl/prometheus/alerts.yml | cut -d' ' -f2");
    let tested: BTreeSet<_> = RULES.iter().map(|(name, ..)| *name).collect();
    assert_eq!(rules.lines().collect::<BTreeSet<_>>(), tested, "a rule without a test");
}
