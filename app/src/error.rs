//! Every error the API answers with: one JSON shape, one place that gives status, code and text.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use hyper::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;
use utoipa::ToSchema;

/// Why a request is not answered as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiError {
    /// The body is not JSON.
    MalformedBody,
    /// The body did not arrive in full, or in time.
    IncompleteBody,
    /// The name or the password is wrong.
    WrongCredentials,
    /// No bearer token came with the request.
    MissingToken,
    /// The token is not one that holds.
    InvalidToken,
    /// The token held once.
    ExpiredToken,
    /// Nothing is at this path.
    NotFound,
    /// The path takes other methods.
    MethodNotAllowed,
    /// The body is longer than is read.
    BodyTooLarge,
    /// The body does not say that it is JSON.
    NotJson,
    /// The body is JSON of another shape; the text says what is wrong with it.
    WrongShape(&'static str),
    /// Too many attempts on one account; the seconds say when to try again.
    TooManyAttempts(u64),
    /// A fault of this service.
    Internal,
    /// Redis does not answer.
    RedisAway,
    /// More logins wait than can be checked soon.
    TooBusy,
}

/// The body of an error.
#[derive(Serialize, ToSchema)]
#[schema(title = "Error")]
pub struct ErrorBody<'a> {
    /// What went wrong.
    #[serde(borrow)]
    error: ErrorDetail<'a>,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
pub struct ErrorDetail<'a> {
    /// A word for programs.
    #[schema(example = "unauthorized")]
    code: &'a str,
    /// A sentence for people.
    #[schema(example = "the token has expired")]
    message: &'a str,
    /// The id of the request, as in the log and in the header `x-request-id`.
    #[schema(example = "9f86d081884c7d659a2feaa0c55ad015")]
    request_id: &'a str,
}

impl ApiError {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::MalformedBody => StatusCode::BAD_REQUEST,
            Self::IncompleteBody => StatusCode::REQUEST_TIMEOUT,
            Self::WrongCredentials
            | Self::MissingToken
            | Self::InvalidToken
            | Self::ExpiredToken => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::WrongShape(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooManyAttempts(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::RedisAway | Self::TooBusy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::MalformedBody => "malformed_json",
            Self::IncompleteBody => "incomplete_body",
            Self::WrongCredentials => "wrong_credentials",
            Self::MissingToken => "missing_token",
            Self::InvalidToken => "invalid_token",
            Self::ExpiredToken => "expired_token",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BodyTooLarge => "body_too_large",
            Self::NotJson => "not_json",
            Self::WrongShape(_) => "wrong_shape",
            Self::TooManyAttempts(_) => "too_many_attempts",
            Self::Internal => "internal",
            Self::RedisAway => "redis_unavailable",
            Self::TooBusy => "too_busy",
        }
    }

    fn message(&self) -> &'static str {
        match self {
            Self::MalformedBody => "the body is not valid JSON",
            Self::IncompleteBody => "the body did not arrive in full and in time",
            Self::WrongCredentials => "the user name or the password is wrong",
            Self::MissingToken => "a bearer token is needed: get one from /flask/auth/login",
            Self::InvalidToken => "the token is not valid",
            Self::ExpiredToken => "the token has expired",
            Self::NotFound => "nothing is at this path",
            Self::MethodNotAllowed => "the path does not take this method: see the header `allow`",
            Self::BodyTooLarge => "the body is longer than 16 KiB",
            Self::NotJson => "the body must come with the content type `application/json`",
            Self::WrongShape(problem) => problem,
            Self::TooManyAttempts(_) => {
                "too many attempts on this account from this address: try again later"
            }
            Self::Internal => "the service failed; its log has this request's id",
            Self::RedisAway => "the counter is away for the moment",
            Self::TooBusy => "too many logins at once: try again shortly",
        }
    }

    /// The body, with the id of the request that failed.
    #[must_use]
    pub fn body(&self, request_id: &str) -> Vec<u8> {
        let error = ErrorDetail { code: self.code(), message: self.message(), request_id };
        serde_json::to_vec(&ErrorBody { error }).unwrap_or_default()
    }

    fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::MissingToken | Self::WrongCredentials => Some("Bearer realm=\"flask\""),
            Self::InvalidToken => Some("Bearer realm=\"flask\", error=\"invalid_token\""),
            Self::ExpiredToken => Some(
                "Bearer realm=\"flask\", error=\"invalid_token\", error_description=\"expired\"",
            ),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyAttempts(seconds) => Some(*seconds),
            Self::RedisAway | Self::TooBusy => Some(1),
            _ => None,
        }
    }
}

impl IntoResponse for ApiError {
    /// Headers only: the edge knows the request's id and writes the body.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(challenge) = self.challenge() {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self);
        response
    }
}
