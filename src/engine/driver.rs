//! What the engine asks of a kind of part on the host. It finds the code by its name and knows none of
//! it: `command` hands the drivers in.

use std::fmt::Debug;

use anyhow::{Result, bail};
use futures_util::future::LocalBoxFuture;

use crate::resource::Host;
use crate::spec::PartSpec;

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

/// The host's half of a kind of part. A default stands for a driver that has none of it.
pub trait Driver: Debug + Sync {
    /// The name that specs find it by.
    fn name(&self) -> &'static str;

    /// Whether a line of a log in its format reports a fault.
    fn is_fault(&self, _line: &str) -> bool {
        false
    }

    /// Looks at what a probe of this driver's names. An error is a check that fails.
    fn inspect<'a>(&'a self, probe: &'a str, _case: &'a Case<'a>) -> Later<'a, String> {
        Box::pin(async move { bail!("the driver `{}` does not know `{probe}`", self.name()) })
    }
}

/// The drivers that this build has.
#[derive(Clone, Copy, Debug)]
pub struct Drivers(pub &'static [&'static dyn Driver]);

impl Drivers {
    /// The driver of this name. None where the spec was made by a build that has more of them.
    pub(super) fn find(self, name: &str) -> Option<&'static dyn Driver> {
        self.0.iter().copied().find(|driver| driver.name() == name)
    }
}
