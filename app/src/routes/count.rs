//! `GET /flask/api/count`: counts the visit of someone with a token.

use std::sync::Arc;

use axum::{extract::State as Shared, response::IntoResponse};
use hyper::{HeaderMap, Method};
use serde::Serialize;
use utoipa::ToSchema;

use super::Json;
use crate::{error::ApiError, state::State};

/// The number of visits.
#[derive(Serialize, ToSchema)]
pub struct Visits {
    /// How many there were, this one included.
    #[schema(example = 42, minimum = 0)]
    visits: u64,
}

/// Count a visit
///
/// Each call adds one; the number is told once it is stored safely.
#[utoipa::path(
    get,
    path = "/flask/api/count",
    operation_id = "count",
    tag = "api",
    security(("bearer" = [])),
    responses((status = 200, description = "The visit is counted.", body = Visits))
)]
pub(super) async fn count(
    Shared(state): Shared<Arc<State>>,
    method: Method,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    state.auth.authorize(&headers)?;
    // HEAD asks what GET would say, and must change nothing.
    let visits = if method == Method::HEAD {
        state.counter.current().await?
    } else {
        state.counter.next().await?
    };
    Json::of(&Visits { visits })
}
