//! What the engine asks of a kind of part on the host. It finds the code by its name and knows none of
//! it: `command` hands the drivers in.

use std::fmt::Debug;

/// The host's half of a kind of part.
pub trait Driver: Debug + Sync {
    /// The name that specs find it by.
    fn name(&self) -> &'static str;

    /// Whether a line of a log in its format reports a fault.
    fn is_fault(&self, _line: &str) -> bool {
        false
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
