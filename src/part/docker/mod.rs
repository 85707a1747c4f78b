//! Docker itself, and containers as parts declare them. Docker is no part: each part with a container declares it, and
//! all of them share one. A host without such a part has no Docker from hwctl.

pub(super) mod host;

use std::path::PathBuf;

use anyhow::Result;

use super::build::{
    Builder, Claim, Contributions, HostView, Nothing, Package, Upload, folder, image_in,
};
use crate::failure::{Exit, Failure};
use crate::resource::container::OWN_NETWORKS;
use crate::resource::{
    Container, Content, Directory, Facts, File, Image, JsonSettings, MountSource, Network,
    OnChange, Owner, RegistryLogin, Unit, Version, Volume,
};
use crate::spec::{
    Group, Log, LogFormat, LogSource, PartSpec, Probe, ProbeKind, Restart, RestartMethod,
};

/// With it containers go on while the daemon is away: after a crash, a restart or an upgrade.
const SETTINGS: &str = r#"{ "live-restore": true }"#;
/// A daemon that is part of a swarm does not start with that setting.
const SWARM: &str = "/var/lib/docker/swarm/docker-state.json";
const SERVICE: &str = "docker.service";
/// How long a container has to end by itself, in seconds, before it is killed.
const STOP_S: u16 = 10;

/// A container that a part declares, with what it is made of.
pub(super) struct Declaration {
    /// The container. Its image is added to its inputs.
    pub(super) container: Container,
    /// A local file with the image, relative to the inventory's folder.
    pub(super) archive: Option<PathBuf>,
    /// Who pulls the image, where the registry asks.
    pub(super) login: Option<RegistryLogin>,
    /// What has a new image with each of its versions: the image of the version before stays then.
    pub(super) series: Option<String>,
}

/// Says that a part has a container and volumes, each with its place in the inventory, and so needs Docker.
pub(super) fn contribute(
    view: &HostView<'_>,
    offered: &mut Contributions,
    container: (&str, Option<String>),
    volumes: impl Iterator<Item = (String, Option<String>)>,
) {
    for package in packages(view.facts) {
        offered.add_package(package);
    }
    offered.add_docker_user();
    let (name, place) = container;
    offered.add_claim(Claim::Container(name.to_owned()), place);
    for (volume, place) in volumes {
        offered.add_claim(Claim::Volume(volume), place);
    }
}

/// What is known of a part with a container: that Docker runs, its log, and its restart under `name`.
pub(super) fn describe(
    spec: &mut PartSpec,
    offered: &Contributions,
    (name, container): (&str, &str),
    format: LogFormat,
) {
    let source = LogSource::Container(container.to_owned());
    spec.restarts = vec![Restart {
        name: name.to_owned(),
        label: container.to_owned(),
        method: RestartMethod::Container { name: container.to_owned(), stop_s: STOP_S },
        in_all: true,
        log: source.clone(),
    }];
    // One check of Docker is enough for all that need it.
    if offered.docker_users.first() == Some(&spec.name) {
        spec.probes.push(Probe::unit(SERVICE));
    }
    spec.logs = vec![Log { name: name.to_owned(), source, format }];
}

/// Whether a container runs.
pub(super) fn probe(container: &str) -> Probe {
    Probe {
        name: format!("container {container}"),
        group: Group::Service,
        kind: ProbeKind::Container(container.to_owned()),
    }
}

/// Declares Docker, as all parts with a container do.
pub(super) fn declare(builder: &mut Builder<'_>) -> Result<()> {
    builder.shared_directory("/etc/docker", 0o755)?;
    let settings =
        JsonSettings { settings: SETTINGS.to_owned(), unless_exists: vec![SWARM.into()] };
    let file = File::new("/etc/docker/daemon.json", Content::Json(settings), 0o644, Owner::root());
    let drop_ins = "/etc/systemd/system/docker.service.d";
    builder.shared_directory(drop_ins, 0o755)?;
    let text = builder.templates.render_text("systemd/docker.service.conf", &Nothing {})?;
    let drop_in = builder.ensure(File::text(format!("{drop_ins}/hwctl.conf"), text))?;
    let inputs = vec![builder.ensure(file)?, drop_in];
    builder.ensure(Unit::new(SERVICE, inputs, OnChange::Reload))?;
    Ok(())
}

/// Declares a container after all that it needs.
pub(super) fn add_container(builder: &mut Builder<'_>, declaration: Declaration) -> Result<()> {
    let container = add_needs(builder, declaration)?;
    builder.add(container);
    Ok(())
}

/// Declares what a container needs: its volumes, networks and image. Returns the container, which is still to be
/// declared.
pub(super) fn add_needs(builder: &mut Builder<'_>, declaration: Declaration) -> Result<Container> {
    let Declaration { mut container, archive, login, series } = declaration;
    for mount in &container.mounts {
        if let MountSource::Volume(name) = &mount.source {
            builder.ensure(Volume { name: name.clone() })?;
        }
    }
    for name in container.networks.iter().filter(|name| !OWN_NETWORKS.contains(&name.as_str())) {
        builder.ensure(Network { name: name.clone() })?;
    }
    let (mut blob, mut archived) = (None, None);
    if let Some(path) = archive {
        let path = builder.context.folder.join(path);
        let found = folder::archive(&path)?;
        if let Some(image) = image_in(&path, &container.image)? {
            let accepted = container.require_volumes(image.volumes.iter().map(String::as_str));
            accepted.map_err(|error| Failure { exit: Exit::Usage, ..Failure::from(error) })?;
            archived = Some(image.digest);
        }
        builder.made.uploads.push(Upload { blob: found.clone(), path });
        blob = Some(found);
    }
    let image = Image::named_in(&container.image, blob, container.variable.as_deref());
    container.inputs.push(builder.image(Image { archived, login, series, ..image })?);
    Ok(container)
}

/// A directory on the disk of the host that a container sees.
pub(super) fn add_folder(builder: &mut Builder<'_>, path: PathBuf, owner: Owner) -> Result<()> {
    builder.ensure(Directory { is_own: true, ..Directory::new(path, 0o750, owner) }).map(drop)
}

/// The distribution's Docker. Docker's own packages, and Microsoft's of the same engine, do as well.
fn packages(facts: &Facts) -> Vec<Package> {
    let engine =
        Package { name: "docker.io".to_owned(), alternatives: &["docker-ce", "moby-engine"] };
    let client =
        Package { name: "docker-cli".to_owned(), alternatives: &["docker-ce-cli", "moby-cli"] };
    match client_is_apart(facts) {
        true => vec![engine, client],
        false => vec![engine],
    }
}

/// Since Debian 13 docker.io only recommends the client: hwctl does not need it, people do.
/// Elsewhere it is part of docker.io, and apt knows no package of that name.
fn client_is_apart(facts: &Facts) -> bool {
    let version = Version::parse(&facts.os_version);
    facts.os == "debian" && version.is_none_or(|version| version >= Version(13, 0, 0))
}
