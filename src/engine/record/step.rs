//! One step of a plan, as the journal and the manifest keep it.

use crate::resource::{Declared, Resource, Saved};

/// One resource and where it is to be brought.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Step {
    pub(in crate::engine) tag: String,
    pub(in crate::engine) resource: Resource,
    /// The earlier state that it is brought back to; none: to what it declares.
    pub(in crate::engine) to: Option<Saved>,
    /// Whether it is an old version of a program, which is not brought back.
    pub(in crate::engine) is_surplus: bool,
}

impl From<Declared> for Step {
    fn from(Declared { tag, resource, .. }: Declared) -> Self {
        Self { tag, resource, to: None, is_surplus: false }
    }
}
