//! The operator's own units of systemd, and units of others that should or should not run.

mod vars;

use anyhow::Result;

use super::build::{Builder, Claim};
use super::files::{Origin, content_of};
use super::{PartKind, Parts};
use crate::resource::{File, Owner, Unit};
use crate::spec::{Log, LogFormat, LogSource, PartSpec, Probe, Restart, RestartMethod};

pub use vars::Units;
use vars::{OwnUnit, full_name};

pub(super) const KIND: PartKind = PartKind {
    name: "units",
    roles: &[],
    parts: Parts::If(|view| !view.vars.get::<Units>().0.is_empty()),
    vars: vars::VARIABLES,
    takes: &[],
    driver: None,
    contribute: |view, offered| {
        for key in view.vars.get::<Units>().0.keys() {
            let unit = full_name(key);
            if let Some(stem) = unit.strip_suffix(".service") {
                offered.add_claim(Claim::Name(stem.to_owned()), view.place(&["units", key]));
            }
        }
    },
    describe: |view, _, spec| describe(view.vars.get(), spec),
    declare: |_, builder| declare(builder),
};

fn describe(Units(units): &Units, spec: &mut PartSpec) {
    let running = units.iter().filter(|(_, unit)| unit.active).map(|(name, _)| full_name(name));
    for unit in running {
        spec.probes.push(Probe::unit(&unit));
        let Some(stem) = unit.strip_suffix(".service") else { continue };
        let log = LogSource::Unit(unit.clone());
        let (name, format) = (stem.to_owned(), LogFormat::Plain);
        spec.logs.push(Log { name, source: log.clone(), format });
        spec.restarts.push(Restart {
            name: stem.to_owned(),
            label: unit.clone(),
            method: RestartMethod::Unit(unit.clone()),
            in_all: false,
            log,
        });
    }
}

fn declare(builder: &mut Builder<'_>) -> Result<()> {
    let Units(units) = builder.vars.get();
    for (key, OwnUnit { content, source, template, enabled, active, on_change }) in units {
        let name = full_name(key);
        let path = format!("/etc/systemd/system/{name}");
        let origin = Origin { content, source, template, secrets: None };
        let mut inputs = Vec::new();
        if origin.is_given() {
            let content = content_of(builder, &["units", key], &origin)?;
            inputs.push(builder.add(File::new(path, content, 0o644, Owner::root())));
        }
        let (enabled, active, is_own) = (*enabled, *active, origin.is_given());
        builder.add(Unit { enabled, active, is_own, ..Unit::new(name, inputs, *on_change) });
    }
    Ok(())
}
