//! `GET /flask/swagger/`: Swagger UI, from files in this binary, and the document that it shows.

use std::{io::Read as _, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, State as Shared},
    response::Response,
};
use bytes::Bytes;
use flate2::read::GzDecoder;
use hyper::{
    HeaderMap, StatusCode,
    header::{
        ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderValue,
        IF_NONE_MATCH, VARY,
    },
};
use utoipa_swagger_ui::{Config, SwaggerFile};

use crate::{error::ApiError, openapi, state::State};

/// The files may be kept, and are asked for again by their tag: a new version shows at once.
const TAG: &str = concat!("\"", env!("CARGO_PKG_VERSION"), "\"");

/// Swagger UI and its document.
pub struct Swagger {
    config: Arc<Config<'static>>,
    document: Bytes,
}

impl Swagger {
    /// Makes the document, once.
    #[must_use]
    pub fn new() -> Self {
        let config = Config::from("/flask/openapi.json")
            .use_base_layout()
            .try_it_out_enabled(true)
            .persist_authorization(false)
            // The public validator would be a request to someone else's server.
            .validator_url("none");
        Self { config: Arc::new(config), document: openapi::document().into() }
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

pub(super) async fn page(
    state: Shared<Arc<State>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    file(state, Path("index.html".to_owned()), headers).await
}

pub(super) async fn file(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let config = Arc::clone(&state.swagger.config);
    let found = utoipa_swagger_ui::serve(&name, config).map_err(|_| ApiError::Internal)?;
    let file = found.ok_or(ApiError::NotFound)?;
    let known = headers.get(IF_NONE_MATCH).and_then(|tag| tag.to_str().ok());
    if known.is_some_and(|tag| tag.trim_start_matches("W/") == TAG) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().insert(ETAG, HeaderValue::from_static(TAG));
        return Ok(response);
    }
    send(file, takes_gzip(&headers))
}

fn send(file: SwaggerFile<'static>, gzip: bool) -> Result<Response, ApiError> {
    let content_type = HeaderValue::try_from(file.content_type).map_err(|_| ApiError::Internal)?;
    let packed = file.gzpipped && gzip;
    let body = match file.bytes {
        bytes if file.gzpipped && !gzip => {
            let mut text = Vec::new();
            GzDecoder::new(&*bytes).read_to_end(&mut text).map_err(|_| ApiError::Internal)?;
            Body::from(text)
        }
        std::borrow::Cow::Borrowed(bytes) => Body::from(Bytes::from_static(bytes)),
        std::borrow::Cow::Owned(bytes) => Body::from(bytes),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ETAG, HeaderValue::from_static(TAG));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if packed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|list| {
        list.split(',').any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let refused = |parameter: &str| {
                parameter.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0_f32))
            };
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"))
                && !parts.any(refused)
        })
    })
}
