//! `GET /flask/swagger/`: Swagger UI, from files in this binary, and the document that it shows.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State as Shared},
    response::Response,
};
use bytes::Bytes;
use hyper::{
    HeaderMap, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH},
};

use crate::{error::ApiError, openapi, state::State};

/// The files may be kept, and are asked for again by their tag, made of what they hold: a new version
/// shows at once.
const TAG: &str = concat!("\"", env!("SWAGGER_TAG"), "\"");

/// A file of Swagger UI. nginx compresses it for clients.
struct File {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

const PAGE: &str = "index.html";
const FILES: [File; 5] = [
    File {
        name: PAGE,
        content_type: "text/html; charset=utf-8",
        bytes: include_bytes!("../../assets/index.html"),
    },
    File {
        name: "page.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../../assets/page.css"),
    },
    File {
        name: "start.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../../assets/start.js"),
    },
    File {
        name: "swagger-ui.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css")),
    },
    File {
        name: "swagger-ui-bundle.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js")),
    },
];

/// The document that Swagger UI shows, made once.
pub struct Swagger {
    document: Bytes,
}

impl Swagger {
    /// Makes the document.
    #[must_use]
    pub fn new() -> Self {
        Self { document: openapi::document().into() }
    }
}

impl Default for Swagger {
    fn default() -> Self {
        Self::new()
    }
}

pub(super) async fn document(Shared(state): Shared<Arc<State>>) -> Response {
    let mut response = Response::new(Body::from(state.swagger.document.clone()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

pub(super) async fn page(headers: HeaderMap) -> Result<Response, ApiError> {
    file(Path(PAGE.to_owned()), headers).await
}

pub(super) async fn file(
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let file = FILES.iter().find(|file| file.name == name).ok_or(ApiError::NotFound)?;
    let known = headers.get(IF_NONE_MATCH).and_then(|tag| tag.to_str().ok());
    if known.is_some_and(|tag| tag.trim_start_matches("W/") == TAG) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().insert(ETAG, HeaderValue::from_static(TAG));
        return Ok(response);
    }
    let mut response = Response::new(Body::from(file.bytes));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ETAG, HeaderValue::from_static(TAG));
    Ok(response)
}
