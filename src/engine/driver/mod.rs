//! What the engine asks of a kind of part on the host. It finds the code by its name and knows none of
//! it: `command` hands the drivers in.

pub(super) mod dump;
pub(super) mod trial;
pub(super) mod units;

use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::future::LocalBoxFuture;

use crate::engine::protocol::{Turn, Turned};
use crate::event::{Finding, Planned, Sign};
use crate::resource::{Declared, Host, Resource, Secret};
use crate::spec::PartSpec;
use dump::Dump;
use trial::Trial;
use units::Units;

/// What a driver gives once it has looked.
pub type Later<'a, T> = LocalBoxFuture<'a, Result<T>>;

/// What a driver is asked about.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// The host that this process runs on.
    pub host: &'a Host,
    /// The part, as it was declared last.
    pub part: &'a PartSpec,
}

/// What is known of a host when a driver looks for the cause of a fault.
#[derive(Clone, Copy)]
pub struct Symptoms<'a> {
    /// All that the host should have.
    pub resources: &'a [Declared],
    /// The units of all parts, read at once.
    pub units: &'a Units,
    /// What is not as declared.
    pub drift: &'a [Planned],
    /// Whether the contents of files are known, so that a file that was changed is among the drift. The host alone
    /// does not know them.
    pub knows_content: bool,
    /// The causes that were found so far.
    pub earlier: &'a [Finding],
    /// A token that an application does not take, where the operator gave one.
    pub token: Option<&'a Secret>,
}

impl<'a> Symptoms<'a> {
    /// What a part should have.
    pub fn resources_of(&self, part: &'a PartSpec) -> impl Iterator<Item = &'a Resource> {
        let declared = self.resources.iter();
        let declared = declared.filter(|declared| declared.parts().any(|own| own == part.name));
        declared.map(|declared| &declared.resource)
    }
}

/// A package of the distribution, and what a host has of it. A change that relies on that waits for the
/// package; all else is made while packages are installed.
#[derive(Clone, Copy, Debug)]
pub struct PackageContents {
    /// Its name.
    pub name: &'static str,
    /// The systemd units that it installs.
    pub units: &'static [&'static str],
    /// Where its configuration lies: files and folders below `/etc`.
    pub configuration: &'static [&'static str],
    /// Folders outside of `/etc` that it makes.
    pub folders: &'static [&'static str],
}

/// Something that a part of the host has found to be wrong by rules of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// What tells it from the other alarms of the part. It is the same as long as the alarm lasts.
    pub id: String,
    /// What is wrong, in one line.
    pub summary: String,
    /// How that is known.
    pub details: Vec<String>,
    /// The next step.
    pub next: String,
    /// When it began, in seconds since 1970. None where that is not known.
    pub since: Option<i64>,
}

/// The host's half of a kind of part. A default stands for a driver that has none of it.
pub trait Driver: Debug + Sync {
    /// The name that specs find it by.
    fn name(&self) -> &'static str;

    /// The packages whose versions its kind of part has to know before it declares anything.
    fn packages(&self) -> &'static [&'static str] {
        &[]
    }

    /// The packages that resources of its kind of part rely on.
    fn package_contents(&self) -> &'static [PackageContents] {
        &[]
    }

    /// Folders of the part's own, into which no package installs anything. What lies there is made while
    /// packages are installed.
    fn private_folders(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether a line of a log in its format reports a fault.
    fn is_fault(&self, _line: &str) -> bool {
        false
    }

    /// Looks at what a probe of this driver's names. An error is a check that fails.
    fn inspect<'a>(&'a self, probe: &'a str, _case: &'a Case<'a>) -> Later<'a, String> {
        Box::pin(async move { bail!("the driver `{}` does not know `{probe}`", self.name()) })
    }

    /// How much the part does: counters, of which two looks make rates.
    fn signs<'a>(&'a self, _case: &'a Case<'a>) -> Later<'a, Vec<Sign>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Looks for what is wrong with a part: the cause first.
    fn diagnose<'a>(
        &'a self,
        _case: &'a Case<'a>,
        _symptoms: &'a Symptoms<'a>,
    ) -> Later<'a, Vec<Finding>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// What the part itself reports to be wrong now.
    fn alarms<'a>(&'a self, _case: &'a Case<'a>) -> Later<'a, Vec<Alarm>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Restarts the part, where that takes more than a restart of a unit or a container.
    fn restart<'a>(&'a self, _case: &'a Case<'a>) -> Later<'a, ()> {
        Box::pin(async move { bail!("the driver `{}` restarts nothing", self.name()) })
    }

    /// Gives a host behind the part no more work, or gives it some again.
    fn turn<'a>(
        &'a self,
        _case: &'a Case<'a>,
        _host: &'a str,
        _turn: Turn,
        _patience: Duration,
    ) -> Later<'a, Turned> {
        Box::pin(async move { bail!("the driver `{}` gives no work to others", self.name()) })
    }

    /// Its way to copy data, where it has one.
    fn dump(&self) -> Option<&dyn Dump> {
        None
    }

    /// How a new configuration is tried before it is in its place, where the driver has a way to.
    fn trial(&self) -> Option<&'static dyn Trial> {
        None
    }

    /// What others have on the host that stands against a resource of the part, for the plan.
    fn concerns(&self, _resource: &Resource, _host: &Host) -> Vec<String> {
        Vec::new()
    }
}

/// The drivers that this build has.
#[derive(Clone, Copy, Debug)]
pub struct Drivers(pub &'static [&'static dyn Driver]);

impl Drivers {
    /// The driver of this name. None where the spec was made by a build that has more of them.
    pub(in crate::engine) fn find(self, name: &str) -> Option<&'static dyn Driver> {
        self.0.iter().copied().find(|driver| driver.name() == name)
    }

    /// The driver of a part, if it has one that this build knows.
    pub(in crate::engine) fn of(self, part: &PartSpec) -> Option<&'static dyn Driver> {
        self.find(part.driver.as_deref()?)
    }

    /// The package that installs a systemd unit.
    pub(in crate::engine) fn package_of_unit(self, unit: &str) -> Option<&'static str> {
        self.package(|contents| contents.units.contains(&unit))
    }

    /// The package whose configuration lies at a path.
    pub(in crate::engine) fn package_configured_at(self, path: &Path) -> Option<&'static str> {
        self.package(|contents| contents.configuration.iter().any(|place| path.starts_with(place)))
    }

    /// The package that makes a folder outside of `/etc`.
    pub(in crate::engine) fn package_that_makes(self, folder: &Path) -> Option<&'static str> {
        self.package(|contents| contents.folders.iter().any(|made| folder == Path::new(made)))
    }

    /// Whether a path lies in a folder of a part's own.
    pub(in crate::engine) fn is_private(self, path: &Path) -> bool {
        let mut folders = self.0.iter().flat_map(|driver| driver.private_folders());
        folders.any(|folder| path.starts_with(folder))
    }

    fn package(self, is_meant: impl Fn(&PackageContents) -> bool) -> Option<&'static str> {
        let mut contents = self.0.iter().flat_map(|driver| driver.package_contents());
        contents.find(|contents| is_meant(contents)).map(|contents| contents.name)
    }
}

#[cfg(test)]
pub(super) mod tests;
