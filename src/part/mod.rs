//! The kinds of parts that a host can have: a folder and a line in [`KINDS`] each.
//!
//! A kind has two halves. The operator's half makes resources and a spec from vars and facts. The host's half,
//! below `host`, is a driver, which the engine finds by its name.

mod api;
mod build;
mod firewall;
mod nginx;
mod packages;
mod redis;
mod sites;
mod tls;
mod upkeep;

use std::path::Path;

use anyhow::Result;

use crate::engine::Drivers;
use crate::inventory::{Role, Vars};
use crate::resource::Facts;
use crate::spec::PartSpec;

pub use api::{API_LINK, JWT_KEY};
use build::{Builder, Contributions, HostView};
pub use build::{Context, RenderedFile, Stack, Templates, Upload, template_sources};
pub use nginx::{HTTP, HTTPS};
pub use redis::REDIS_PASSWORD;

/// The operator's half of a kind of part.
struct PartKind {
    /// The name of its part, which `--only` and `--skip` take.
    name: &'static str,
    /// The roles that bring it. None for what every host has.
    roles: &'static [Role],
    /// Adds what it offers to other parts.
    contribute: fn(&HostView<'_>, &mut Contributions),
    /// Says what is known of its part beyond its resources.
    describe: fn(&HostView<'_>, &Contributions, &mut PartSpec),
    /// Declares its resources, in the order in which they are made.
    declare: fn(&Contributions, &mut Builder<'_>) -> Result<()>,
}

/// All kinds, in the order in which their parts are made. The firewall is the last one, since it alone could
/// lock the operator out.
const KINDS: [PartKind; 8] = [
    packages::KIND,
    tls::KIND,
    sites::KIND,
    nginx::KIND,
    redis::KIND,
    api::KIND,
    upkeep::KIND,
    firewall::KIND,
];

/// The kinds that the roles of a host bring.
fn kinds_of(vars: &Vars) -> impl Iterator<Item = PartKind> {
    let is_brought = |kind: &PartKind| {
        kind.roles.is_empty() || kind.roles.iter().any(|role| vars.roles.contains(role))
    };
    KINDS.into_iter().filter(is_brought)
}

/// The names of the parts, in the order in which they are made.
pub const TAGS: [&str; KINDS.len()] = {
    let mut names = [""; KINDS.len()];
    let mut index = 0;
    while index < KINDS.len() {
        names[index] = KINDS[index].name;
        index += 1;
    }
    names
};

/// The drivers of all kinds of parts.
pub const DRIVERS: Drivers = Drivers(&[
    &api::host::Api,
    &firewall::host::Firewall,
    &nginx::host::Nginx,
    &redis::host::Redis,
    &tls::host::Tls,
    &upkeep::host::Upkeep,
]);

/// The secrets that hosts make for themselves, by the names that templates ask for them.
const HOST_SECRETS: &[&str] = &[JWT_KEY, REDIS_PASSWORD];

/// The templates: hwctl's own, and those of a folder in the place of their namesakes.
pub fn load_templates(overrides: &Path) -> Result<Templates> {
    Templates::load(overrides, HOST_SECRETS)
}

/// The parts of a host as far as they are known before it is contacted.
#[must_use]
pub fn parts(vars: &Vars) -> Vec<PartSpec> {
    parts_on(vars, &Facts::unknown())
}

/// The parts of a host.
#[must_use]
pub fn parts_on(vars: &Vars, facts: &Facts) -> Vec<PartSpec> {
    let view = HostView { vars, facts };
    described(&view, &offered(&view))
}

/// What one host should have.
pub fn stack(
    vars: &Vars,
    facts: &Facts,
    context: Context<'_>,
    templates: &Templates,
) -> Result<Stack> {
    if vars.roles.contains(&Role::Web) {
        sites::check(vars)?;
    }
    let view = HostView { vars, facts };
    let mut offered = offered(&view);
    offered.names = tls::names(vars, facts, context.address)?;
    let made = Stack::of(described(&view, &offered), &offered);
    let mut builder = Builder { vars, facts, context, templates, made, part: "" };
    for kind in kinds_of(vars) {
        builder.part = kind.name;
        (kind.declare)(&offered, &mut builder)?;
    }
    builder.made.refuse_twins()?;
    Ok(builder.made)
}

fn offered(view: &HostView<'_>) -> Contributions {
    let mut offered = Contributions::default();
    for kind in kinds_of(view.vars) {
        (kind.contribute)(view, &mut offered);
    }
    offered
}

fn described(view: &HostView<'_>, offered: &Contributions) -> Vec<PartSpec> {
    let spec = |kind: PartKind| {
        let mut spec = PartSpec { name: kind.name.to_owned(), ..PartSpec::default() };
        (kind.describe)(view, offered, &mut spec);
        spec
    };
    kinds_of(view.vars).map(spec).collect()
}

#[cfg(test)]
mod tests;
