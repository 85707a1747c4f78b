//! What all requests share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{auth::Auth, counter::Counter, metrics::Metrics, routes::swagger::Swagger};

/// What all requests share.
pub struct State {
    /// Users, tokens and limits.
    pub auth: Auth,
    /// The counter in Redis.
    pub counter: Arc<Counter>,
    /// What is counted about the service itself.
    pub metrics: Arc<Metrics>,
    /// Swagger UI and the document it shows.
    pub swagger: Swagger,
    draining: AtomicBool,
}

impl State {
    /// Puts the parts together.
    #[must_use]
    pub fn new(auth: Auth, counter: Arc<Counter>, metrics: Arc<Metrics>) -> Self {
        Self { auth, counter, metrics, swagger: Swagger::new(), draining: AtomicBool::new(false) }
    }

    /// Whether the service is about to end, so that each answer closes its connection.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// From now on each answer closes its connection.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}
