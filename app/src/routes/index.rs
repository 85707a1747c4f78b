//! `GET /flask/`: what there is.

use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::Json;
use crate::error::ApiError;

/// What the service offers.
#[derive(Serialize, ToSchema)]
pub struct Index {
    /// The service's name.
    #[schema(example = "flask-app")]
    name: &'static str,
    /// Its version.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// Where to look.
    links: Links,
}

/// Where to look.
#[derive(Serialize, ToSchema)]
pub struct Links {
    /// Says that the service is alive.
    #[schema(example = "/flask/api/ping")]
    ping: &'static str,
    /// Says whether it can do its work.
    #[schema(example = "/flask/api/health")]
    health: &'static str,
    /// Gives a token.
    #[schema(example = "/flask/auth/login")]
    login: &'static str,
    /// Counts a visit.
    #[schema(example = "/flask/api/count")]
    count: &'static str,
    /// The API to read and to try.
    #[schema(example = "/flask/swagger/")]
    swagger: &'static str,
    /// The API as an `OpenAPI` document.
    #[schema(example = "/flask/openapi.json")]
    openapi: &'static str,
}

/// Say what there is
#[utoipa::path(
    get,
    path = "/flask/",
    operation_id = "index",
    tag = "api",
    responses((status = 200, description = "The paths of the API.", body = Index))
)]
pub(super) async fn index() -> Result<impl IntoResponse, ApiError> {
    Json::of(&Index {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        links: Links {
            ping: "/flask/api/ping",
            health: "/flask/api/health",
            login: "/flask/auth/login",
            count: "/flask/api/count",
            swagger: "/flask/swagger/",
            openapi: "/flask/openapi.json",
        },
    })
}
