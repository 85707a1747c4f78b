//! The routes that requests are counted by.

/// A route of the service. A label must not be free text from outside, since each value is a series of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/flask/`
    Index,
    /// `/flask/api/ping`
    Ping,
    /// `/flask/api/count`
    Count,
    /// `/flask/auth/login`
    Login,
    /// `/flask/api/health`
    Health,
    /// `/flask/metrics`
    Metrics,
    /// The files of the documentation.
    Swagger,
    /// Anything else.
    Other,
}

/// All routes as labels, in the order of the variants.
pub(super) const ROUTES: [(Route, &str); 8] = [
    (Route::Index, "/flask/"),
    (Route::Ping, "/flask/api/ping"),
    (Route::Count, "/flask/api/count"),
    (Route::Login, "/flask/auth/login"),
    (Route::Health, "/flask/api/health"),
    (Route::Metrics, "/flask/metrics"),
    (Route::Swagger, "/flask/swagger/{file}"),
    (Route::Other, "other"),
];

impl Route {
    /// The route that a path belongs to.
    #[must_use]
    pub fn of(path: &str) -> Self {
        match path {
            "/flask/api/ping" => Self::Ping,
            "/flask/api/count" => Self::Count,
            "/flask/auth/login" => Self::Login,
            "/flask/api/health" => Self::Health,
            "/flask/metrics" => Self::Metrics,
            "/flask/" => Self::Index,
            path if path.starts_with("/flask/swagger") || path == "/flask/openapi.json" => {
                Self::Swagger
            }
            _ => Self::Other,
        }
    }
}
