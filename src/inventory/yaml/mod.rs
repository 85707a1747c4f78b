//! YAML text as a tree whose values know where they were written.

pub(in crate::inventory) mod integer;
pub(in crate::inventory) mod keys;
pub(in crate::inventory) mod load;
pub(in crate::inventory) mod node;
pub(in crate::inventory) mod place;
pub(in crate::inventory) mod problem;
mod scalar;
