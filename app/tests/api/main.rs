//! The API as clients see it: a real process on a real socket, with a Redis of its own.

mod activation;
mod auth;
mod client;
mod document;
mod redis;
mod redis_loss;
mod routes;
mod secrets;
mod service;
mod settings;
mod shutdown;
