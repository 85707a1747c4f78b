//! The kinds of parts that a host can have: a folder and a line in [`BUILTIN`] each, and those that another program
//! adds.
//!
//! A kind has two halves. The operator's half makes resources and a spec from vars and facts. The host's half,
//! below `host`, is a driver, which the engine finds by its name.

mod api;
mod apps;
mod balancer;
mod build;
mod containers;
mod docker;
mod files;
mod firewall;
mod fleet;
mod hooks;
mod kernel;
mod monitoring;
mod network;
mod nginx;
mod own_folder;
mod own_host;
mod packages;
mod redis;
mod references;
mod roles;
mod scalars;
mod sites;
mod timers;
mod tls;
mod units;
mod upkeep;
mod users;
mod watch;

use std::path::Path;

use anyhow::Result;

use crate::engine::{Driver, Drivers};
use crate::failure::Failure;
use crate::inventory::schema::Declared;
use crate::inventory::{Inventory, InventoryHost, Vars, Warning};
use crate::spec::{PartSpec, Restart, Scope};

pub use api::{API_LINK, Api, AppDir, JWT_KEY, Workers};
pub use apps::Apps;
pub use balancer::{Balancing, keep_state, require_answer};
use build::conflicts::{between, first_twice};
pub use build::{
    Builder, Card, CertificateAt, Claim, Context, Contributions, HostView, LetIn, LocalFolder,
    Maintenance, Metrics, Names, Offer, OpenTo, Package, Refusals, RenderedFile, Route,
    RouteTarget, Slot, Stack, StaticFiles, Templates, UnitInput, Upload, Upstream,
    template_sources,
};
pub use containers::Containers;
pub use files::{Files, Folders, Links};
pub use firewall::{Firewall, OpenPort, Port, Protocol, open_ports};
pub use hooks::Hooks;
pub use kernel::Settings;
pub use monitoring::{GRAFANA_PASSWORD, Grafana, Monitoring, Source};
pub use network::Network;
pub use nginx::{HTTP, HTTPS, log_files, page, question};
pub use packages::OwnPackages;
pub use redis::{REDIS_PASSWORD, Redis};
pub use references::{PortableFile, portable_files};
pub use roles::{Fleet, HealthPage, Measured, Peer, Pooled, Role, Roles, Side};
pub use sites::{Site, Sites};
pub use timers::Timers;
pub use tls::{ServerNames, Tls, TlsMode};
pub use units::Units;
pub use upkeep::{Interval, Logrotate};
pub use users::People;
pub use watch::{Heartbeat, Notify, WATCH, Watching, settings as watch_settings};

/// A kind of part: how hwctl sets up such parts and looks after them. The functions of the operator's half are
/// called once for each part, and know its name from what they are given.
#[derive(Clone, Copy, Debug)]
pub struct PartKind {
    /// The name of the kind.
    pub name: &'static str,
    /// The roles that bring its parts. Without any, every host has them.
    pub roles: &'static [Role],
    /// Which parts of the kind a host has.
    pub parts: Parts,
    /// The variables of the inventory that it brings.
    pub vars: &'static [Declared],
    /// The contributions of others that its parts take.
    pub takes: &'static [Slot],
    /// The code on the host, where data alone does not do.
    pub driver: Option<&'static dyn Driver>,
    /// Adds what a part offers to others.
    pub contribute: fn(&HostView<'_>, &mut Contributions),
    /// Says what is known of a part beyond its resources.
    pub describe: fn(&HostView<'_>, &Contributions, &mut PartSpec),
    /// Declares the resources of a part, in the order in which they are made.
    pub declare: fn(&Contributions, &mut Builder<'_>) -> Result<()>,
}

/// Which parts of a kind a host has.
#[derive(Clone, Copy, Debug)]
pub enum Parts {
    /// One, with the name of its kind.
    One,
    /// The same, on a host of which this holds.
    If(fn(&HostView<'_>) -> bool),
    /// One for each of these names.
    Named(fn(&HostView<'_>) -> Vec<String>),
}

impl PartKind {
    /// The names of its parts on a host.
    fn names(&self, view: &HostView<'_>) -> Vec<String> {
        let is_brought =
            self.roles.is_empty() || self.roles.iter().any(|role| view.roles().contains(role));
        match self.parts {
            _ if !is_brought => Vec::new(),
            Parts::If(is_there) if !is_there(view) => Vec::new(),
            Parts::One | Parts::If(_) => vec![self.name.to_owned()],
            Parts::Named(names) => names(view),
        }
    }
}

/// The kinds of parts that a build of hwctl has, in the order in which their parts are made.
#[derive(Clone, Copy, Debug)]
pub struct Kinds(&'static [PartKind]);

/// hwctl's own kinds. The firewall is the last one, since it alone could lock the operator out.
const BUILTIN: [PartKind; 18] = [
    packages::KIND,
    users::KIND,
    kernel::KIND,
    tls::KIND,
    sites::KIND,
    files::KIND,
    nginx::KIND,
    balancer::KIND,
    redis::KIND,
    containers::KIND,
    api::KIND,
    apps::KIND,
    monitoring::KIND,
    units::KIND,
    timers::KIND,
    upkeep::KIND,
    watch::KIND,
    firewall::KIND,
];

/// The secrets that hosts make for themselves, by the names that templates ask for them.
const HOST_SECRETS: &[&str] = &[JWT_KEY, REDIS_PASSWORD, GRAFANA_PASSWORD];

/// The templates: hwctl's own, and those of a folder in the place of their namesakes.
pub fn load_templates(overrides: &Path) -> Result<Templates> {
    Templates::load(overrides, HOST_SECRETS)
}

impl Kinds {
    /// hwctl's own kinds.
    #[must_use]
    pub fn builtin() -> Self {
        Self(&BUILTIN)
    }

    /// These kinds and one more, whose parts are made right before the firewall.
    #[must_use]
    pub fn with(self, kind: PartKind) -> Self {
        let mut kinds = self.0.to_vec();
        kinds.insert(kinds.len().saturating_sub(1), kind);
        // The table lives as long as the process, like the built-in one.
        Self(kinds.leak())
    }

    /// The names of the kinds.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|kind| kind.name)
    }

    /// The variables of the inventory: those of all hosts, and those of the kinds.
    #[must_use]
    pub fn variables(self) -> Vec<Declared> {
        let kinds = self.0.iter().flat_map(|kind| kind.vars);
        let of_all_hosts = [Declared::of::<Roles>(), Declared::of::<Hooks>()];
        of_all_hosts.iter().chain(kinds).copied().collect()
    }

    /// The variables of a host, and what in them may be a mistake. What they refer to is not looked up.
    pub fn vars(
        self,
        inventory: &Inventory,
        host: &InventoryHost,
    ) -> Result<(Vars, Vec<Warning>), Failure> {
        inventory.vars(host, &self.variables())
    }

    /// The drivers of all kinds, for the engine of this process.
    #[must_use]
    pub fn drivers(self) -> Drivers {
        let drivers: Vec<_> = self.0.iter().filter_map(|kind| kind.driver).collect();
        Drivers(drivers.leak())
    }

    /// The parts of a host, as far as `view` knows it.
    #[must_use]
    pub fn parts(self, view: &HostView<'_>) -> Vec<PartSpec> {
        self.described(view, &self.offered(view))
    }

    /// What one host should have.
    pub fn stack(
        self,
        view: &HostView<'_>,
        context: Context<'_>,
        templates: &Templates,
    ) -> Result<Stack> {
        let mut made = self.folded_stack(view, context, templates)?;
        made.unfold(|_| true)?;
        Ok(made)
    }

    /// The same without the resources of folders with local files.
    pub fn folded_stack(
        self,
        view: &HostView<'_>,
        context: Context<'_>,
        templates: &Templates,
    ) -> Result<Stack> {
        let mut offered = self.sound(view)?;
        offered.names = tls::names(view.vars, view.facts, context.address)?;
        offered.add_names_of_routes();
        balancer::add_names(view, &mut offered.names);
        let made = Stack::of(self.described(view, &offered), &offered);
        let HostView { vars, facts, fleet, entry, .. } = *view;
        let (last, part) = (Vec::new(), String::new());
        let mut builder =
            Builder { vars, facts, fleet, entry, context, templates, made, last, part };
        for (kind, name) in self.in_order(view, &offered) {
            builder.part = name;
            (kind.declare)(&offered, &mut builder)?;
        }
        builder.made.resources.append(&mut builder.last);
        builder.made.attach(&offered.unit_inputs);
        builder.made.refuse_twins()?;
        Ok(builder.made)
    }

    /// Refuses parts that stand in each other's way. As far as `view` knows the host, it need not be contacted.
    pub fn check(self, view: &HostView<'_>) -> Result<(), Failure> {
        self.sound(view).map(drop)
    }

    /// What the parts offer each other, if all of it can stand side by side.
    fn sound(self, view: &HostView<'_>) -> Result<Contributions, Failure> {
        let offered = self.offered(view);
        offered.require_apart()?;
        offered.require_apart_from_ssh(&view.facts.ssh_ports)?;
        self.require_takers(view, &offered)?;
        let kinds = self.parts_of(view).map(|(kind, part)| {
            // A part that has a name of its own has it in the variable of its kind.
            let variable = kind.vars.first().map(|var| var.key.name).unwrap_or_default();
            let place = view.place(&[variable, &part]).map(|place| format!(" ({place})"));
            let owner = format!("the kind `{}`{}", kind.name, place.unwrap_or_default());
            (part, owner)
        });
        refuse_namesakes("parts", kinds)?;
        let parts = self.described(view, &offered);
        let restarts = parts.iter().flat_map(|part| {
            let named =
                |restart: &Restart| (restart.name.clone(), format!("the part `{}`", part.name));
            part.restarts.iter().map(named)
        });
        refuse_namesakes("restarts", restarts)?;
        Ok(offered)
    }

    /// The parts in the order in which they are made. Where a route leads to a part that has to be there first, those who
    /// serve routes come after it.
    fn in_order(
        self,
        view: &HostView<'_>,
        offered: &Contributions,
    ) -> impl Iterator<Item = (&'static PartKind, String)> {
        let first: Vec<_> = offered.routes.iter().filter(|offer| offer.value.comes_first).collect();
        let comes_first = |part: &str| first.iter().any(|offer| offer.part == part);
        let parts: Vec<_> = self.parts_of(view).collect();
        let last = parts.iter().rposition(|(_, name)| comes_first(name));
        let (mut ordered, mut waiting) = (Vec::new(), Vec::new());
        for (at, (kind, name)) in parts.into_iter().enumerate() {
            let waits = last.is_some_and(|last| at < last) && kind.takes.contains(&Slot::Routes);
            if waits { &mut waiting } else { &mut ordered }.push((kind, name));
            if Some(at) == last {
                ordered.append(&mut waiting);
            }
        }
        ordered.into_iter()
    }

    /// The parts that have to be made together with those of `scope`, so that a change of them is whole: who serves their
    /// routes, where those change with each version.
    #[must_use]
    pub fn with_takers(self, view: &HostView<'_>, scope: &Scope) -> Scope {
        let offered = self.offered(view);
        let switched: Vec<_> = offered
            .routes
            .iter()
            .filter(|offer| offer.value.comes_first)
            .map(|offer| &offer.part)
            .collect();
        let takers = self.parts_of(view).filter(|(kind, _)| kind.takes.contains(&Slot::Routes));
        let takers: Vec<String> = takers.map(|(_, name)| name).collect();
        match scope {
            Scope::All => Scope::All,
            Scope::Only(parts) if switched.iter().any(|part| parts.contains(part)) => {
                let missing = takers.into_iter().filter(|taker| !parts.contains(taker));
                Scope::Only(parts.iter().cloned().chain(missing).collect())
            }
            Scope::Only(parts) => Scope::Only(parts.clone()),
            Scope::Except(parts) if takers.iter().any(|taker| parts.contains(taker)) => {
                let missing = switched.into_iter().filter(|part| !parts.contains(part)).cloned();
                Scope::Except(parts.iter().cloned().chain(missing).collect())
            }
            Scope::Except(parts) => Scope::Except(parts.clone()),
        }
    }

    /// The parts of a host by their names, each with its kind.
    fn parts_of(self, view: &HostView<'_>) -> impl Iterator<Item = (&'static PartKind, String)> {
        let named =
            |kind: &'static PartKind| kind.names(view).into_iter().map(move |name| (kind, name));
        self.0.iter().flat_map(named)
    }

    fn offered(self, view: &HostView<'_>) -> Contributions {
        let mut offered = Contributions::default();
        for (kind, name) in self.parts_of(view) {
            offered.part = name;
            (kind.contribute)(view, &mut offered);
        }
        offered
    }

    /// Refuses what a part offers on a host where no part takes it.
    fn require_takers(self, view: &HostView<'_>, offered: &Contributions) -> Result<(), Failure> {
        let taken: Vec<Slot> =
            self.parts_of(view).flat_map(|(kind, _)| kind.takes).copied().collect();
        let Some((what, slot)) = offered.untaken(&taken) else { return Ok(()) };
        let failure = Failure::usage(format!("{what}, and no part of the host takes it"))
            .not_done("nothing was changed");
        let taker = self.0.iter().find(|kind| kind.takes.contains(&slot));
        let Some((name, role)) = taker.and_then(|kind| Some((kind.name, kind.roles.first()?)))
        else {
            return Err(failure);
        };
        let role = role.name();
        let place = view.place(&["roles"]).map(|place| format!(" ({place})")).unwrap_or_default();
        Err(failure.hint(format!("`{name}` would: it comes with `{role}` in `roles`{place}")))
    }

    fn described(self, view: &HostView<'_>, offered: &Contributions) -> Vec<PartSpec> {
        let spec = |(kind, name): (&PartKind, String)| {
            let driver = kind.driver.map(|driver| driver.name().to_owned());
            let mut spec = PartSpec { name, driver, ..PartSpec::default() };
            (kind.describe)(view, offered, &mut spec);
            spec
        };
        self.parts_of(view).map(spec).collect()
    }
}

/// Refuses two things of one name, which nobody could tell apart; each comes with whose it is.
fn refuse_namesakes(
    what: &str,
    named: impl Iterator<Item = (String, String)>,
) -> Result<(), Failure> {
    let Some((name, owners)) = first_twice(named) else { return Ok(()) };
    let problem = format!("two {what} are called `{name}`");
    Err(between(problem, &owners).hint("give one of them another name"))
}

#[cfg(test)]
mod app_tests;
#[cfg(test)]
mod container_tests;
#[cfg(test)]
mod kind_tests;
#[cfg(test)]
mod monitoring_tests;
#[cfg(test)]
mod role_tests;
#[cfg(test)]
mod site_tests;
#[cfg(test)]
mod tests;
