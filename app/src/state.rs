//! What all requests share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    auth::Auth, counter::Counter, metrics::Metrics, routes::swagger::Swagger, settings::Settings,
};

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
    /// Makes every part from the settings. Call it within the runtime.
    pub fn from_settings(settings: &Settings) -> anyhow::Result<Arc<Self>> {
        let metrics = Arc::new(Metrics::default());
        Ok(Arc::new(Self {
            auth: Auth::new(settings)?,
            counter: Counter::start(settings.redis.clone(), Arc::clone(&metrics))?,
            metrics,
            swagger: Swagger::new(),
            draining: AtomicBool::new(false),
        }))
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
