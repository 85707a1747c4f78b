//! What the engine has to know of a service to try a new configuration beside the one that serves. When to
//! try it is the engine's; how to, is the driver's.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::engine::driver::{Drivers, Later};
use crate::resource::{Host, Needs, Resource};

/// How the configuration of a service is tried.
pub trait Trial: Debug + Sync {
    /// What people call the service.
    fn name(&self) -> &'static str;

    /// Its program. Where it is missing, there is nothing to try.
    fn program(&self) -> &'static Path;

    /// The folder of its configuration, which is tried as a whole.
    fn folder(&self) -> &'static Path;

    /// The systemd unit that reads the configuration when it starts or is reloaded.
    fn unit(&self) -> &'static str;

    /// Tests the configuration in `copy` as if it lay in the real folder. Returns the errors that the service
    /// reports, or None where it accepts the configuration.
    fn test<'a>(&'a self, copy: &'a Path, host: &'a Host) -> Later<'a, Option<String>>;

    /// Returns the line that a report is about, where it names one.
    fn fault(&self, report: &str) -> Option<Fault>;

    /// Changes the configuration in `copy` so that the files of `own` are read before those of others. Services
    /// report the second of two files that clash.
    fn read_first(&self, own: &[OwnFile<'_>], copy: &Path) -> Result<()>;

    /// A shell script that starts the service a second time, in a network and mount namespace of its own. Its
    /// arguments are hwctl's binary, the host's address and the operator's address. Its last command is
    /// `exec "$1" look`, which looks at the new instance.
    fn second_instance(&self) -> &'static str;
}

/// A line of the configuration that the service does not accept.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The absolute path of the file that holds the line.
    pub file: PathBuf,
    /// The number of the line, as the service writes it.
    pub line: String,
    /// The reason that the service gives, without its prefix.
    pub what: String,
}

/// A link in the configuration to a file that hwctl declares.
#[derive(Clone, Copy, Debug)]
pub struct OwnFile<'a> {
    /// The link, relative to the folder of the configuration.
    pub link: &'a Path,
    /// The absolute path of the file that the link points to.
    pub target: &'a Path,
}

impl dyn Trial + '_ {
    /// Whether a resource is a part of the configuration.
    pub(in crate::engine) fn covers(&self, resource: &Resource) -> bool {
        resource.path().is_some_and(|path| path.starts_with(self.folder()))
    }

    /// Whether a resource is the unit: until it is reloaded, the old configuration serves.
    pub(in crate::engine) fn is_unit(&self, resource: &Resource) -> bool {
        resource.profile().needs == Needs::Unit(self.unit())
    }

    /// The advice for a configuration that the trial has refused.
    pub(in crate::engine) fn hint(&self) -> String {
        format!(
            "mend the template or the variable it comes from; what {} serves was not changed",
            self.name()
        )
    }
}

impl Drivers {
    /// The trials of all services.
    pub(in crate::engine) fn trials(self) -> impl Iterator<Item = &'static dyn Trial> {
        self.0.iter().filter_map(|driver| driver.trial())
    }

    /// The trial of the service whose configuration a resource is a part of.
    pub(in crate::engine) fn trial_of(self, resource: &Resource) -> Option<&'static dyn Trial> {
        self.trials().find(|trial| trial.covers(resource))
    }
}
