//! The watch: a timer by which the host looks at itself, and tells who wants to know.

mod host;
mod vars;

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::build::{Builder, Claim, Package};
use super::{PartKind, Parts};
use crate::failure::Failure;
use crate::inventory::Vars;
use crate::inventory::schema::Password;
use crate::resource::{Content, Directory, File, OnChange, Owner, Part, Secret, Unit};
use crate::spec::{Group, Log, LogFormat, LogSource, PartSpec, Probe, ProbeKind};
use crate::watch::{Channel, Email, SETTINGS, SETTINGS_FOLDER, STATE_FOLDER, Settings, Way};

pub use vars::{Heartbeat, Notify, Watching};
use vars::{Mail, Receiver, Seconds, Server, TlsOf};

pub(super) const KIND: PartKind = PartKind {
    name: WATCH,
    roles: &[],
    parts: Parts::If(|view| is_wanted(view.vars)),
    vars: vars::VARIABLES,
    takes: &[],
    driver: Some(&host::Watch),
    contribute: |view, offered| {
        offered.add_claim(Claim::Name(WATCH.to_owned()), view.place(&["notify"]));
        for name in ["curl", "ca-certificates"] {
            offered.add_package(Package::new(name));
        }
    },
    describe: |view, _, spec| describe(view.vars.get(), spec),
    declare: |_, builder| declare(builder),
};

/// The name of the part, and of its check.
pub const WATCH: &str = "watch";

const TIMER: &str = "hwctl-watch.timer";
const SERVICE: &str = "hwctl-watch.service";

/// What the templates of the units are rendered with.
#[derive(Serialize)]
struct Schedule<'a> {
    binary: &'a Path,
    every_s: u32,
}

/// Whether anybody wants to hear of a host.
fn is_wanted(vars: &Vars) -> bool {
    !vars.get::<Notify>().0.is_empty() || vars.get::<Heartbeat>().0.is_some()
}

fn describe(watching: &Watching, spec: &mut PartSpec) {
    let probe = Probe { name: WATCH.to_owned(), group: Group::Host, kind: ProbeKind::Driver };
    spec.probes = vec![Probe::unit(TIMER), probe];
    let source = LogSource::Unit(SERVICE.to_owned());
    spec.logs = vec![Log { name: WATCH.to_owned(), source, format: LogFormat::Plain }];
    spec.settings.insert(host::EVERY.to_owned(), watching.every.0.to_string());
}

fn declare(builder: &mut Builder<'_>) -> Result<()> {
    let hwctl = builder.own_hwctl()?;
    let name = builder.entry.map_or(builder.context.address, |entry| &entry.name).to_owned();
    // All of it is one secret: hosts and users in it may be, too.
    let value = match builder.context.passwords.has(builder.part()) {
        true => serde_json::to_string(&settings(builder.vars, &name)?)?,
        false => String::new(),
    };
    let value =
        Part::Secret { name: "the channels of `notify`".to_owned(), value: Secret::new(value) };
    builder.shared_directory("/etc/hwctl", 0o755)?;
    builder.directory(SETTINGS_FOLDER, 0o700);
    let content = Content::Parts(vec![value, Part::Text("\n".to_owned())]);
    builder.add(File::new(SETTINGS, content, 0o600, Owner::root()));
    let state = Directory::new(STATE_FOLDER, 0o700, Owner::root());
    builder.add(Directory { owns_content: true, ..state });
    let schedule = Schedule { binary: &hwctl, every_s: builder.vars.get::<Watching>().every.0 };
    let mut inputs = Vec::new();
    for name in [SERVICE, TIMER] {
        let path = format!("/etc/systemd/system/{name}");
        inputs.push(builder.file(path, &format!("systemd/{name}"), &schedule)?);
    }
    builder.add(Unit::new(TIMER, inputs, OnChange::Restart));
    Ok(())
}

/// What a watch of the host `name` goes by. The secrets are looked up.
pub fn settings(vars: &Vars, name: &str) -> Result<Settings, Failure> {
    let Watching { every, remind, security_updates, disk_hours } = *vars.get::<Watching>();
    let (Seconds(every_s), Seconds(remind_s)) = (every, remind);
    let receivers = vars.get::<Notify>().0.iter().enumerate();
    let channel = |(at, receiver): (usize, &Receiver)| -> Result<_, Failure> {
        Ok(way(receiver)?.map(|way| Channel { id: format!("notify[{at}]"), way }))
    };
    let channels: Vec<Option<Channel>> = receivers.map(channel).collect::<Result<_, _>>()?;
    let heartbeat = vars.get::<Heartbeat>().0.as_ref().map(Password::reveal).transpose()?;
    let (host, channels) = (name.to_owned(), channels.into_iter().flatten().collect());
    Ok(Settings { host, every_s, remind_s, security_updates, disk_hours, channels, heartbeat })
}

fn way(receiver: &Receiver) -> Result<Option<Way>, Failure> {
    Ok(match receiver {
        Receiver { webhook: Some(url), .. } => Some(Way::Webhook(url.reveal()?)),
        Receiver { ntfy: Some(url), .. } => Some(Way::Ntfy(url.reveal()?)),
        Receiver { email: Some(mail), .. } => Some(Way::Email(email(mail)?)),
        // A list has no such entry.
        Receiver { webhook: None, ntfy: None, email: None } => None,
    })
}

fn email(mail: &Mail) -> Result<Email, Failure> {
    let Mail { to, from, smtp: Server { host, port }, user, password, tls } = mail;
    let (scheme, usual) = match tls {
        TlsOf::StartTls => ("smtp", 587),
        TlsOf::Always => ("smtps", 465),
        TlsOf::Never => ("smtp", 25),
    };
    let login = match (user, password) {
        (Some(user), Some(password)) => Some((user.clone(), password.reveal()?)),
        _ => None,
    };
    Ok(Email {
        to: to.clone(),
        from: from.clone(),
        url: format!("{scheme}://{host}:{}", port.unwrap_or(usual)),
        requires_tls: *tls != TlsOf::Never,
        login,
    })
}
