//! `GET /flask/metrics`: Prometheus text, for the host itself; nginx does not pass it on.

use std::sync::Arc;

use axum::{extract::State as Shared, response::IntoResponse};
use hyper::header::CONTENT_TYPE;

use crate::state::State;

pub(super) async fn metrics(Shared(state): Shared<Arc<State>>) -> impl IntoResponse {
    let redis_up = state.counter.ready().await.is_ok();
    let text = state.metrics.render(redis_up);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
