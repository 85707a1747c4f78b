//! Nothing that others send, plant or write makes hwctl do what it should not.

#[path = "../host/mod.rs"]
mod host;

mod links;
mod streams;
mod values;
