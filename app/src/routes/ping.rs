//! `GET /flask/api/ping`: the service is alive.

use axum::response::IntoResponse;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::Json;

/// The answer to a ping.
#[derive(Serialize, ToSchema)]
pub struct Pong {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Say that the service is alive
///
/// Needs neither a token nor Redis.
#[utoipa::path(
    get,
    path = "/flask/api/ping",
    operation_id = "ping",
    tag = "api",
    responses((status = 200, description = "The service is alive.", body = Pong))
)]
pub(super) async fn ping() -> impl IntoResponse {
    // The one answer that never changes is not made anew each time.
    Json(Bytes::from_static(br#"{"status":"ok"}"#))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_text_is_what_the_schema_says() {
        let text = serde_json::to_string(&Pong { status: "ok" }).expect("JSON");
        assert_eq!(text, r#"{"status":"ok"}"#);
    }
}
