//! Nothing that others send, plant or write makes hwctl do what it should not.

pub(crate) mod links;
pub(crate) mod streams;
pub(crate) mod values;
