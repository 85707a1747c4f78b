//! Redis in its container, reachable from the host's loopback and by a socket for the API.

mod docker;
mod host;
mod vars;

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;

use super::build::{Builder, Contributions, Nothing, Upload, folder};
use super::{AppDir, PartKind, Parts, Role};
use crate::inventory::Vars;
use crate::resource::container::redis::RedisData;
use crate::resource::{
    Container, Directory, File, Image, Mount, MountSource, OnChange, Owner, PublishedPort, Sysctl,
    Unit, User, Volume,
};
use crate::spec::{
    Group, Log, LogFormat, LogSource, PartSpec, Probe, ProbeKind, Restart, RestartMethod,
};

pub use vars::Redis;

const FOLDER: &str = "/etc/hwctl/redis";
const CONFIGURATION: &str = "/etc/hwctl/redis/redis.conf";
/// On the disk, since Docker wants it at boot; below it nothing but the socket.
const SOCKET_FOLDER: &str = "/var/lib/redis-flask";
const SOCKET_NAME: &str = "redis.sock";
/// Where the API finds Redis on the host.
pub(super) const SOCKET: &str = "/var/lib/redis-flask/redis.sock";
/// The user and group `redis` of the image.
const OWNER: (&str, &str) = ("999", "1000");
/// How long Redis has to write its data down, in seconds, before it is killed.
const STOP_S: u16 = 10;
/// Redis's port inside the container.
const PORT: u16 = 6379;

pub(super) const KIND: PartKind = PartKind {
    name: "redis",
    roles: &[Role::Redis],
    parts: Parts::One,
    vars: vars::VARIABLES,
    takes: &[],
    driver: Some(&host::Redis),
    contribute: |view, offered| {
        for package in docker::packages(view.facts) {
            offered.add_package(package);
        }
        offered.add_port(view.vars.get::<Redis>().port, view.place(&["redis", "port"]));
        offered.has_database = true;
    },
    describe: |view, _, spec| describe(spec, view.vars),
    declare,
};

/// The host's secret that is the password of Redis.
pub const REDIS_PASSWORD: &str = "redis-password";

/// The user of the host that connects to Redis's socket: the API's.
pub(super) fn client(vars: &Vars) -> User {
    User { name: "flask-app".to_owned(), home: vars.get::<AppDir>().0.clone() }
}

fn describe(spec: &mut PartSpec, vars: &Vars) {
    let redis = vars.get::<Redis>();
    spec.has_dump = true;
    spec.private_ports = vec![redis.port];
    spec.restarts = vec![Restart {
        name: "redis".to_owned(),
        label: redis.container.clone(),
        method: RestartMethod::Container { name: redis.container.clone(), stop_s: STOP_S },
        in_all: true,
        log: LogSource::Container(redis.container.clone()),
    }];
    for (name, value) in
        [("container", redis.container.as_str()), ("socket", SOCKET), ("password", REDIS_PASSWORD)]
    {
        spec.settings.insert(name.to_owned(), value.to_owned());
    }
    let container = redis.container.clone();
    spec.probes = vec![
        Probe::unit("docker.service"),
        Probe {
            name: format!("container {container}"),
            group: Group::Service,
            kind: ProbeKind::Container(container.clone()),
        },
    ];
    spec.logs = vec![Log {
        name: "redis".to_owned(),
        source: LogSource::Container(container),
        format: LogFormat::Driver("redis".to_owned()),
    }];
}

fn declare(_: &Contributions, builder: &mut Builder<'_>) -> Result<()> {
    let redis = builder.vars.get::<Redis>();
    let text = builder.templates.render_text("sysctl/hwctl.conf", &Nothing {})?;
    builder.add(File::text("/etc/sysctl.d/60-hwctl.conf", text));
    // A container shares its kernel's settings and cannot set them.
    if !builder.facts.container {
        builder.add(Sysctl { key: "vm.overcommit_memory".to_owned(), value: "1".to_owned() });
    }

    let inputs = docker::declare(builder)?;
    builder.add(Unit {
        name: "docker.service".to_owned(),
        enabled: true,
        active: true,
        inputs,
        on_change: OnChange::Reload,
        ports: Vec::new(),
        beside: Vec::new(),
    });
    builder.host_secret(REDIS_PASSWORD, 32)?;
    builder.shared_directory("/etc/hwctl", 0o755)?;
    builder.directory(FOLDER, 0o700);
    // The socket is open to the group of its client, who therefore comes before it. So it is on a host whose
    // API comes later: a socket does not change its group while Redis runs.
    let client = client(builder.vars);
    let group = client.name.clone();
    builder.ensure(client)?;
    builder.add(Directory {
        path: SOCKET_FOLDER.into(),
        // Nobody but the client gets in. The socket takes the group of the folder (set-group-ID).
        mode: 0o2750,
        owner: Owner::new(OWNER.0, &group),
        sockets: vec![SOCKET_NAME.to_owned()],
    });
    // In the container's command or environment `docker inspect` would show the password.
    let configuration = builder.secret_file(
        CONFIGURATION,
        (0o400, Owner::new(OWNER.0, OWNER.1)),
        "redis/redis.conf",
        &Nothing {},
        None,
    )?;
    let archive = match &redis.image_archive {
        None => None,
        Some(path) => {
            let path = builder.context.folder.join(path);
            let blob = folder::archive(&path)?;
            builder.made.uploads.push(Upload { blob: blob.clone(), path });
            Some(blob)
        }
    };
    builder.add(Volume { name: redis.volume.clone() });
    let image = builder.add(Image { reference: redis.image.clone(), archive });
    let mut container = container(builder);
    container.inputs = vec![configuration, image];
    builder.add(container);
    Ok(())
}

fn container(builder: &Builder<'_>) -> Container {
    let redis = builder.vars.get::<Redis>();
    let inside = "/etc/redis/redis.conf";
    let mount =
        |source, target: &str, read_only| Mount { source, target: target.into(), read_only };
    Container {
        name: redis.container.clone(),
        image: redis.image.clone(),
        command: vec!["redis-server".to_owned(), inside.to_owned()],
        user: Some(format!("{}:{}", OWNER.0, OWNER.1)),
        mounts: vec![
            mount(MountSource::Volume(redis.volume.clone()), "/data", false),
            mount(MountSource::Path(CONFIGURATION.into()), inside, true),
            mount(MountSource::Path(SOCKET_FOLDER.into()), "/run/redis", false),
        ],
        tmpfs: vec!["/tmp".into()],
        // A port published on all addresses would walk past ufw.
        ports: vec![PublishedPort {
            host_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            host_port: redis.port,
            container_port: PORT,
        }],
        read_only_root: true,
        memory_mib: 128,
        pids: 64,
        // The API's own health check goes through to Redis; another, with the password in the
        // arguments of a process, would tell less and show more.
        healthcheck: None,
        inputs: Vec::new(),
        data: Some(RedisData {
            socket: SOCKET.into(),
            folder: "/data".into(),
            password: REDIS_PASSWORD.to_owned(),
        }),
    }
}
