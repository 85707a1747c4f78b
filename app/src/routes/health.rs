//! `GET /flask/api/health`: the service can do its work.

use std::sync::Arc;

use axum::{extract::State as Shared, response::IntoResponse};
use serde::Serialize;
use utoipa::ToSchema;

use super::Json;
use crate::{error::ApiError, state::State};

/// The answer when all is well.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`: a service that is not well answers 503.
    #[schema(example = "ok")]
    status: &'static str,
    /// Always `ok`: Redis answers.
    #[schema(example = "ok")]
    redis: &'static str,
}

/// Say whether the service can do its work
///
/// Asks Redis. Answers 503 with the reason when Redis does not answer.
#[utoipa::path(
    get,
    path = "/flask/api/health",
    operation_id = "health",
    tag = "api",
    responses((status = 200, description = "The service and Redis answer.", body = Health))
)]
pub(super) async fn health(
    Shared(state): Shared<Arc<State>>,
) -> Result<impl IntoResponse, ApiError> {
    state.counter.ready().await?;
    Json::of(&Health { status: "ok", redis: "ok" })
}
