//! The routes: which path and method goes to which handler.

pub mod count;
pub mod health;
pub mod index;
pub mod login;
pub mod metrics;
pub mod ping;
pub mod swagger;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};

use crate::{error::ApiError, state::State};

/// Every route of the service.
pub fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/flask", get(|| async { Redirect::permanent("/flask/") }))
        .route("/flask/", get(index::index))
        .route("/flask/api/ping", get(ping::ping))
        .route("/flask/api/count", get(count::count))
        .route("/flask/api/health", get(health::health))
        .route("/flask/auth/login", post(login::login))
        .route("/flask/metrics", get(metrics::metrics))
        .route("/flask/openapi.json", get(swagger::document))
        .route("/flask/swagger", get(|| async { Redirect::permanent("/flask/swagger/") }))
        .route("/flask/swagger/", get(swagger::page))
        .route("/flask/swagger/{file}", get(swagger::file))
        .fallback(|| async { ApiError::NotFound })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .with_state(state)
}

/// A JSON answer that nobody keeps.
struct Json(Bytes);

impl Json {
    fn of(value: &impl serde::Serialize) -> Result<Self, ApiError> {
        serde_json::to_vec(value).map(|text| Self(text.into())).map_err(|_| ApiError::Internal)
    }
}

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.0));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
