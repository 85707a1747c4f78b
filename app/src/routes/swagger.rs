//! `GET /flask/swagger/`: Swagger UI, from files in this binary, and the document that it shows.

use std::{io::Read as _, iter, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, State as Shared},
    response::Response,
};
use bytes::Bytes;
use flate2::read::GzDecoder;
use futures_util::stream;
use hyper::{
    HeaderMap, StatusCode,
    header::{
        ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
        HeaderValue, IF_NONE_MATCH, VARY,
    },
};

use crate::{error::ApiError, openapi, state::State};

/// The files may be kept, and are asked for again by their tag, made of what they hold: a new version
/// shows at once.
const TAG: &str = concat!("\"", env!("SWAGGER_TAG"), "\"");

/// A file of Swagger UI.
struct File {
    name: &'static str,
    content_type: &'static str,
    packed: bool,
    bytes: &'static [u8],
}

const PAGE: &str = "index.html";
const FILES: [File; 5] = [
    File {
        name: PAGE,
        content_type: "text/html; charset=utf-8",
        packed: false,
        bytes: include_bytes!("../../assets/index.html"),
    },
    File {
        name: "page.css",
        content_type: "text/css; charset=utf-8",
        packed: false,
        bytes: include_bytes!("../../assets/page.css"),
    },
    File {
        name: "start.js",
        content_type: "text/javascript; charset=utf-8",
        packed: false,
        bytes: include_bytes!("../../assets/start.js"),
    },
    File {
        name: "swagger-ui.css",
        content_type: "text/css; charset=utf-8",
        packed: true,
        bytes: include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz")),
    },
    File {
        name: "swagger-ui-bundle.js",
        content_type: "text/javascript; charset=utf-8",
        packed: true,
        bytes: include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz")),
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
    Ok(send(file, takes_gzip(&headers)))
}

fn send(file: &'static File, gzip: bool) -> Response {
    let unpack = file.packed && !gzip;
    let body = if unpack { unpacked(file.bytes) } else { Body::from(file.bytes) };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ETAG, HeaderValue::from_static(TAG));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if file.packed && gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let (true, Some(length)) = (unpack, file.bytes.last_chunk()) {
        // A gzip file ends with the length of what it holds.
        headers.insert(CONTENT_LENGTH, HeaderValue::from(u32::from_le_bytes(*length)));
    }
    response
}

/// Unpacks piece by piece: 32 clients without gzip would take 50 MB otherwise.
fn unpacked(bytes: &'static [u8]) -> Body {
    const PIECE: usize = 32 * 1024;
    let mut decoder = GzDecoder::new(bytes);
    Body::from_stream(stream::iter(iter::from_fn(move || {
        let mut piece = vec![0; PIECE];
        match decoder.read(&mut piece) {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                Some(Ok(Bytes::from(piece)))
            }
            Err(error) => Some(Err(error)),
        }
    })))
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
