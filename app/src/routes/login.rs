//! `POST /flask/auth/login`: a token for a name and a password.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, extract::State as Shared, response::IntoResponse};
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Request,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Json;
use crate::{
    auth::{MAX_NAME, MAX_PASSWORD, attempts::Client},
    error::ApiError,
    settings::Secret,
    state::State,
};

/// The longest body that is taken.
const MAX_BODY: usize = 16 * 1024;
/// A longer body is read to its end up to here, since nginx may miss an answer that comes earlier.
const MAX_READ: usize = 1024 * 1024;
/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// A name and a password.
#[derive(ToSchema)]
#[schema(title = "Login")]
pub struct Login {
    /// The user's name.
    #[schema(example = "admin", min_length = 1, max_length = 64)]
    username: String,
    /// The user's password.
    #[schema(example = "password", min_length = 1, max_length = 1024, format = Password)]
    password: String,
}

/// A token.
#[derive(Serialize, ToSchema)]
pub struct Token {
    /// Send it as `Authorization: Bearer …`.
    #[schema(example = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.e30.c2ln")]
    token: String,
}

/// Log in
///
/// Gives a token that holds for an hour, unless the service is set otherwise. Attempts of one
/// client on one account are limited; `Retry-After` says when the next is free.
#[utoipa::path(
    post,
    path = "/flask/auth/login",
    operation_id = "login",
    tag = "auth",
    request_body(content = Login, content_type = "application/json",
        description = "A name and a password; at most 16 KiB."),
    responses((status = 200, description = "The token.", body = Token))
)]
pub(super) async fn login(
    Shared(state): Shared<Arc<State>>,
    request: Request<Body>,
) -> Result<impl IntoResponse, ApiError> {
    let (head, body) = request.into_parts();
    let body = tokio::time::timeout(PATIENCE, read(body))
        .await
        .map_err(|_| ApiError::IncompleteBody)??;
    if !says_json(&head.headers) {
        return Err(ApiError::NotJson);
    }
    let Login { username, password } = parse(&body)?;
    let client = Client::of(&head.headers);
    let password = Secret::new(password);
    let token = state.auth.login(client, &username, password, &state.metrics).await?;
    Json::of(&Token { token })
}

async fn read(mut body: Body) -> Result<Vec<u8>, ApiError> {
    let mut kept = Vec::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::IncompleteBody)?;
        let Some(data) = frame.data_ref() else { continue };
        length += data.len();
        if length <= MAX_BODY {
            kept.extend_from_slice(data);
        } else if length > MAX_READ {
            break;
        }
    }
    if length > MAX_BODY { Err(ApiError::BodyTooLarge) } else { Ok(kept) }
}

fn says_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value: &HeaderValue| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn parse(body: &[u8]) -> Result<Login, ApiError> {
    let value: Value = serde_json::from_slice(body).map_err(|_| ApiError::MalformedBody)?;
    let Value::Object(mut fields) = value else {
        return Err(ApiError::WrongShape("the body must be a JSON object"));
    };
    let username = take(&mut fields, "username", MAX_NAME)
        .ok_or(ApiError::WrongShape("`username` must be a text of 1 to 64 characters"))?;
    let password = take(&mut fields, "password", MAX_PASSWORD)
        .ok_or(ApiError::WrongShape("`password` must be a text of 1 to 1024 characters"))?;
    Ok(Login { username, password })
}

fn take(fields: &mut Map<String, Value>, key: &str, most: usize) -> Option<String> {
    match fields.remove(key) {
        Some(Value::String(text)) if (1..=most).contains(&text.chars().count()) => Some(text),
        _ => None,
    }
}
