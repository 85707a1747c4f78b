//! What every request goes through: its id, its log line, its metrics, and a net under panics.

use std::{
    convert::Infallible, future::Future, panic::AssertUnwindSafe, pin::Pin, sync::Arc,
    time::Instant,
};

use axum::{Router, body::Body, response::IntoResponse};
use futures_util::FutureExt;
use hyper::{
    Method, Request, Response,
    body::Incoming,
    header::{CONNECTION, CONTENT_LENGTH, HeaderValue},
    service::Service,
};
use tower::ServiceExt;

use crate::{
    error::ApiError,
    log::{self, Level},
    metrics::Route,
    request_id,
    state::State,
};

/// The outermost layer, one for each connection.
#[derive(Clone)]
pub struct Edge {
    router: Router,
    state: Arc<State>,
}

impl Edge {
    /// Wraps `router`.
    #[must_use]
    pub fn new(router: Router, state: Arc<State>) -> Self {
        Self { router, state }
    }

    async fn answer(self, request: Request<Body>) -> Response<Body> {
        let began = Instant::now();
        let id = request_id::of(request.headers());
        let method = request.method().clone();
        let uri = request.uri().clone();

        let handled = AssertUnwindSafe(self.router.oneshot(request)).catch_unwind().await;
        let mut response = match handled {
            Ok(Ok(response)) => response,
            // The panic hook has logged what happened.
            Err(_) => ApiError::Internal.into_response(),
        };
        if let Some(error) = response.extensions_mut().remove::<ApiError>() {
            let body = error.body(id.to_str().unwrap_or_default());
            // The router has counted the empty body already.
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            if method != Method::HEAD {
                *response.body_mut() = Body::from(body);
            }
        }
        let elapsed = began.elapsed();
        let status = response.status().as_u16();
        self.state.metrics.record(&method, Route::of(uri.path()), status, elapsed);
        let level = if status >= 500 { Level::Warn } else { Level::Info };
        log::line(level, "request", |line| {
            line.text("request_id", id.to_str().unwrap_or_default())
                .text("method", method.as_str())
                // Never the query, which may hold what is secret.
                .text("path", shortened(uri.path()))
                .number("status", status)
                .number("micros", elapsed.as_micros());
        });
        response.headers_mut().insert(request_id::HEADER, id);
        if self.state.draining() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl Service<Request<Incoming>> for Edge {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let edge = self.clone();
        Box::pin(async move { Ok(edge.answer(request.map(Body::new)).await) })
    }
}

fn shortened(path: &str) -> &str {
    const MAX: usize = 256;
    path.get(..MAX).unwrap_or(path)
}

/// Sends the text of a panic to the log, as one line.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let text = info.payload_as_str().unwrap_or("panic");
        log::line(Level::Error, "panic", |line| {
            line.text("place", &place).text("text", text);
        });
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use axum::routing::get;
    use http_body_util::BodyExt;

    fn state() -> Arc<State> {
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$Y2hhbmdlbWVub3dwbHM$WWjtLBpYS0KZ0PBxLoqXgUxGp4mCGxYvW7JyZCWDeGs";
        let settings = Settings::read(&|name| {
            Ok(match name {
                "SECRET_KEY" => Some("0123456789abcdef0123456789abcdef".to_owned()),
                "API_USERS" => Some(format!("admin:{hash}")),
                _ => None,
            })
        })
        .expect("settings");
        State::from_settings(&settings).expect("state")
    }

    #[tokio::test]
    async fn a_panic_becomes_an_error_with_the_requests_id() {
        let router = Router::new().route("/panic", get(|| async { panicking() }));
        let edge = Edge::new(router, state());
        let request = Request::get("/panic")
            .header("x-request-id", "abc")
            .body(Body::empty())
            .expect("request");
        let response = edge.answer(request).await;
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()[request_id::HEADER], "abc");
        let body = response.into_body().collect().await.expect("body").to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["error"]["code"], "internal");
        assert_eq!(body["error"]["request_id"], "abc");
    }

    fn panicking() -> &'static str {
        panic!("as intended")
    }

    #[tokio::test]
    async fn draining_closes_each_connection_with_its_answer() {
        let state = state();
        let edge = Edge::new(Router::new().route("/", get(|| async { "" })), Arc::clone(&state));
        let request = || Request::get("/").body(Body::empty()).expect("request");
        assert!(edge.clone().answer(request()).await.headers().get(CONNECTION).is_none());
        state.drain();
        assert_eq!(edge.answer(request()).await.headers()[CONNECTION], "close");
    }
}
