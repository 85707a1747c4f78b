//! The distribution's packages that the parts need, installed together.

mod vars;

use std::collections::HashSet;

use super::build::{Builder, Contributions, PACKAGES, Package, Slot};
use super::{PartKind, Parts};
use crate::resource::Packages;

pub use vars::OwnPackages;

pub(super) const KIND: PartKind = PartKind {
    name: PACKAGES,
    roles: &[],
    parts: Parts::One,
    vars: vars::VARIABLES,
    takes: &[Slot::Packages],
    driver: None,
    contribute: |view, offered| {
        // Pulling an image needs the certificates, which docker.io only recommends.
        for name in ["logrotate", "ca-certificates"] {
            offered.add_package(Package::new(name));
        }
        for name in &view.vars.get::<OwnPackages>().0 {
            offered.add_package(Package::new(name));
        }
    },
    describe: |_, _, _| {},
    declare: |offered, builder| {
        declare(offered, builder);
        Ok(())
    },
};

fn declare(offered: &Contributions, builder: &mut Builder<'_>) {
    let owned = |names: &[&str]| names.iter().copied().map(ToOwned::to_owned).collect();
    let mut seen = HashSet::new();
    let packages = offered.packages.iter().map(|offer| &offer.value);
    let packages: Vec<_> = packages.filter(|package| seen.insert(&package.name)).collect();
    let with_others = packages.iter().filter(|package| !package.alternatives.is_empty());
    builder.add(Packages {
        names: packages.iter().map(|package| package.name.clone()).collect(),
        spared: Vec::new(),
        alternatives: with_others
            .map(|package| (package.name.clone(), owned(package.alternatives)))
            .collect(),
    });
}
