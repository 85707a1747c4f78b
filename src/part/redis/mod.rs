//! Redis in its container, reachable from the host's loopback and by a socket for the API.

mod host;
mod vars;

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;

use super::build::{Builder, Contributions, Nothing};
use super::docker::{self, Declaration};
use super::{AppDir, PartKind, Parts, Role};
use crate::inventory::Vars;
use crate::resource::container::redis::RedisData;
use crate::resource::{
    Container, Directory, File, Mount, MountSource, Owner, PublishedPort, Sysctl, User,
};
use crate::spec::{LogFormat, PartSpec};

pub use vars::Redis;

const MEMORY_MIB: u32 = 128;
const PIDS: u32 = 64;
const FOLDER: &str = "/etc/hwctl/redis";
const CONFIGURATION: &str = "/etc/hwctl/redis/redis.conf";
/// On the disk, since Docker wants it at boot; below it nothing but the socket.
const SOCKET_FOLDER: &str = "/var/lib/redis-flask";
const SOCKET_NAME: &str = "redis.sock";
/// Where the API finds Redis on the host.
pub(super) const SOCKET: &str = "/var/lib/redis-flask/redis.sock";
/// The user and group `redis` of the image.
const OWNER: (&str, &str) = ("999", "1000");
/// Redis's port inside the container.
const PORT: u16 = 6379;

pub(super) const KIND: PartKind = PartKind {
    name: "redis",
    roles: &[Role::Redis],
    parts: Parts::If(|view| !view.vars.is_taken_away::<Redis>()),
    vars: vars::VARIABLES,
    takes: &[],
    driver: Some(&host::Redis),
    contribute: |view, offered| {
        let redis = view.vars.get::<Redis>();
        let container = (redis.container.as_str(), view.place(&["redis", "container"]));
        let volume = (redis.volume.clone(), view.place(&["redis", "volume"]));
        docker::contribute(view, offered, container, std::iter::once(volume));
        offered.add_port(redis.port, view.place(&["redis", "port"]));
        offered.has_database = true;
    },
    describe: |view, offered, spec| describe(spec, offered, view.vars),
    declare,
};

/// The host's secret that is the password of Redis.
pub const REDIS_PASSWORD: &str = "redis-password";

/// The user of the host that connects to Redis's socket: the API's.
pub(super) fn client(vars: &Vars) -> User {
    User { name: "flask-app".to_owned(), home: vars.get::<AppDir>().0.clone(), owns_home: false }
}

fn describe(spec: &mut PartSpec, offered: &Contributions, vars: &Vars) {
    let redis = vars.get::<Redis>();
    spec.has_dump = true;
    spec.private_ports = vec![redis.port];
    let format = LogFormat::Driver("redis".to_owned());
    docker::describe(spec, offered, ("redis", &redis.container), format);
    spec.probes.push(docker::probe(&redis.container));
    for (name, value) in
        [("container", redis.container.as_str()), ("socket", SOCKET), ("password", REDIS_PASSWORD)]
    {
        spec.settings.insert(name.to_owned(), value.to_owned());
    }
}

fn declare(_: &Contributions, builder: &mut Builder<'_>) -> Result<()> {
    let redis = builder.vars.get::<Redis>();
    let text = builder.templates.render_text("sysctl/hwctl.conf", &Nothing {})?;
    builder.add(File::text("/etc/sysctl.d/60-hwctl.conf", text));
    // A container shares its kernel's settings and cannot set them.
    if !builder.facts.container {
        builder.add(Sysctl { key: "vm.overcommit_memory".to_owned(), value: "1".to_owned() });
    }

    docker::declare(builder)?;
    builder.host_secret(REDIS_PASSWORD, 32)?;
    builder.shared_directory("/etc/hwctl", 0o755)?;
    builder.directory(FOLDER, 0o700);
    // The socket is open to the group of its client, who therefore comes before it. So it is on a host whose
    // API comes later: a socket does not change its group while Redis runs.
    let client = client(builder.vars);
    let group = client.name.clone();
    builder.ensure(client)?;
    builder.add(Directory {
        sockets: vec![SOCKET_NAME.to_owned()],
        // Nobody but the client gets in. The socket takes the group of the folder (set-group-ID).
        ..Directory::new(SOCKET_FOLDER, 0o2750, Owner::new(OWNER.0, &group))
    });
    // In the container's command or environment `docker inspect` would show the password.
    let configuration = builder.secret_file(
        CONFIGURATION,
        (0o400, Owner::new(OWNER.0, OWNER.1)),
        "redis/redis.conf",
        &Nothing {},
        None,
    )?;
    let archive = redis.image_archive.clone();
    let container = Container { inputs: vec![configuration], ..container(builder) };
    docker::add_container(builder, Declaration { container, archive, login: None, series: None })
}

fn container(builder: &Builder<'_>) -> Container {
    let redis = builder.vars.get::<Redis>();
    let inside = "/etc/redis/redis.conf";
    Container {
        command: vec!["redis-server".to_owned(), inside.to_owned()],
        user: Some(format!("{}:{}", OWNER.0, OWNER.1)),
        mounts: vec![
            Mount::new(MountSource::Volume(redis.volume.clone()), "/data"),
            Mount::read_only(MountSource::Path(CONFIGURATION.into()), inside),
            Mount::new(MountSource::Path(SOCKET_FOLDER.into()), "/run/redis"),
        ],
        tmpfs: vec!["/tmp".into()],
        // A port published on all addresses would walk past ufw.
        ports: vec![PublishedPort {
            host_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            host_port: redis.port,
            container_port: PORT,
        }],
        // The API's own health check goes through to Redis; another, with the password in the
        // arguments of a process, would tell less and show more.
        healthcheck: None,
        data: Some(Box::new(RedisData {
            socket: SOCKET.into(),
            folder: "/data".into(),
            password: REDIS_PASSWORD.to_owned(),
        })),
        variable: Some("redis".to_owned()),
        ..Container::new(&redis.container, &redis.image, (MEMORY_MIB, PIDS))
    }
}
