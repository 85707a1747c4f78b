//! The images that the lab has stand-ins for.

use serde_json::{Value, json};

use super::stand_in::Recipe;

const ROOT: (u64, u64) = (0, 0);
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `redis:7-alpine`, of the last release with redis 7.0.
///
/// Two things differ: the real image's entrypoint changes the user when it starts as root, and its
/// redis accepts clients from outside the container without a password.
pub(super) const REDIS: Recipe = Recipe {
    tag: "redis:7-alpine",
    file: "redis-7-alpine.1.tar",
    release: "bookworm",
    packages: "redis-server,redis-tools,busybox-static",
    folders: &[
        ("bin", 0o755, ROOT),
        ("etc", 0o755, ROOT),
        ("usr", 0o755, ROOT),
        ("usr/local", 0o755, ROOT),
        ("usr/local/bin", 0o755, ROOT),
        ("tmp", 0o1777, ROOT),
        // The user and group of the real image.
        ("data", 0o755, (999, 1000)),
    ],
    files: &[
        (
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nredis:x:999:1000:redis:/home/redis:/bin/sh\n",
        ),
        ("etc/group", "root:x:0:\nredis:x:1000:redis\n"),
    ],
    programs: &[
        ("usr/bin/redis-server", "usr/local/bin/redis-server"),
        ("usr/bin/redis-cli", "usr/local/bin/redis-cli"),
        ("bin/busybox", "bin/busybox"),
    ],
    // One program that looks at its own name, as upstream builds it.
    links: &[
        ("usr/local/bin/redis-check-aof", "redis-server"),
        ("usr/local/bin/redis-check-rdb", "redis-server"),
        ("bin/sh", "busybox"),
    ],
    version: ("/usr/bin/redis-server", "v="),
    config: redis_config,
};

fn redis_config(version: &str) -> Value {
    json!({
        "Env": [PATH, format!("REDIS_VERSION={version}")],
        "Cmd": ["redis-server"],
        "WorkingDir": "/data",
        "Volumes": { "/data": {} },
        "ExposedPorts": { "6379/tcp": {} },
    })
}

/// `prom/prometheus`, whose version is newer than Debian's. Its console pages are missing.
pub(super) const PROMETHEUS: Recipe = Recipe {
    tag: "prom/prometheus:v3.5.0",
    file: "prometheus-v3.5.0.1.tar",
    release: "trixie",
    // `base-files` has the links from `/lib` and `/lib64`, where programs look for their loader.
    packages: "prometheus,base-files",
    folders: &[
        ("bin", 0o755, ROOT),
        ("etc", 0o755, ROOT),
        ("etc/prometheus", 0o755, ROOT),
        ("usr", 0o755, ROOT),
        ("tmp", 0o1777, ROOT),
        // The user `nobody` of the real image.
        ("prometheus", 0o755, (65534, 65534)),
    ],
    files: &[
        (
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
        ),
        ("etc/group", "root:x:0:\nnobody:x:65534:\n"),
    ],
    programs: &[("usr/bin/prometheus", "bin/prometheus"), ("usr/bin/promtool", "bin/promtool")],
    links: &[],
    version: ("/usr/bin/prometheus", "version "),
    config: prometheus_config,
};

fn prometheus_config(_: &str) -> Value {
    json!({
        "Env": [PATH],
        "Entrypoint": ["/bin/prometheus"],
        "Cmd": [
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/prometheus",
        ],
        "User": "nobody",
        "WorkingDir": "/prometheus",
        "Volumes": { "/prometheus": {} },
        "ExposedPorts": { "9090/tcp": {} },
    })
}
