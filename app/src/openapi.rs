//! The `OpenAPI` 3.1 document: paths from the handlers, errors from the table below.

use utoipa::{
    Modify, OpenApi,
    openapi::{
        self, Content, HeaderBuilder, ObjectBuilder, OpenApi as Document, Ref, RefOr, Response,
        ResponseBuilder,
        path::Operation,
        schema::{SchemaType, Type},
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use crate::{
    error::{ApiError, ErrorBody, ErrorDetail},
    routes::{count, health, index, login, ping},
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "The API behind /flask/",
        description = "Counts visits. Log in for a token, press *Authorize*, then try *count*.\n\n\
            Every error has one shape, and carries the id that the response header \
            `x-request-id` and the service's log have."
    ),
    paths(index::index, ping::ping, health::health, login::login, count::count),
    components(schemas(ErrorBody, ErrorDetail)),
    tags(
        (name = "auth", description = "Tokens"),
        (name = "api", description = "The service itself")
    ),
    modifiers(&Errors, &Surroundings)
)]
struct Described;

/// The document as JSON.
#[must_use]
pub fn document() -> Vec<u8> {
    serde_json::to_vec(&Described::openapi()).unwrap_or_default()
}

/// What each path can answer with, besides what all of them can.
const ERRORS: [(&str, &[ApiError]); 3] = [
    ("/flask/api/health", &[ApiError::RedisAway]),
    ("/flask/api/count", &[ApiError::MissingToken, ApiError::RedisAway]),
    (
        "/flask/auth/login",
        &[
            ApiError::MalformedBody,
            ApiError::WrongCredentials,
            ApiError::IncompleteBody,
            ApiError::BodyTooLarge,
            ApiError::NotJson,
            ApiError::WrongShape("the body must be a JSON object"),
            ApiError::TooManyAttempts(0),
            ApiError::TooBusy,
        ],
    ),
];
/// What every path can answer with.
const EVERYWHERE: [ApiError; 4] =
    [ApiError::MalformedBody, ApiError::NotFound, ApiError::MethodNotAllowed, ApiError::Internal];

/// What an error's response is for.
fn description(error: &ApiError) -> &'static str {
    match error {
        ApiError::MalformedBody => "The request or its body is malformed.",
        ApiError::IncompleteBody => "The body did not arrive in full and in time.",
        ApiError::WrongCredentials => "The name or the password is wrong.",
        ApiError::MissingToken | ApiError::InvalidToken | ApiError::ExpiredToken => {
            "The token is missing, not valid, or has expired."
        }
        ApiError::NotFound => "Nothing is at this path.",
        ApiError::MethodNotAllowed => "The path takes other methods.",
        ApiError::BodyTooLarge => "The body is longer than 16 KiB.",
        ApiError::NotJson => "The body is not said to be JSON.",
        ApiError::WrongShape(_) => "The body is JSON of another shape.",
        ApiError::TooManyAttempts(_) => "Too many attempts; wait as long as the header says.",
        ApiError::Internal => "The service failed.",
        ApiError::RedisAway => "Redis does not answer.",
        ApiError::TooBusy => "Too many logins wait.",
    }
}

struct Errors;

impl Modify for Errors {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        for error in ERRORS.iter().flat_map(|(_, errors)| *errors).chain(&EVERYWHERE) {
            components.responses.insert(error.code().to_owned(), response(error).into());
        }
        for (path, item) in &mut document.paths.paths {
            let own = ERRORS.iter().find(|(of, _)| of == path).map_or(&[][..], |(_, own)| own);
            for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                for error in own.iter().chain(&EVERYWHERE) {
                    let reference = Ref::from_response_name(error.code());
                    add(operation, error, reference);
                }
                for answer in operation.responses.responses.values_mut() {
                    if let RefOr::T(answer) = answer {
                        answer.headers.insert("x-request-id".to_owned(), request_id().into());
                    }
                }
            }
        }
    }
}

fn add(operation: &mut Operation, error: &ApiError, reference: Ref) {
    let status = error.status().as_u16().to_string();
    operation.responses.responses.entry(status).or_insert(RefOr::Ref(reference));
}

fn response(error: &ApiError) -> Response {
    let text = |description| header(description, Type::String);
    let mut body = Content::new(Some(Ref::from_schema_name("ErrorBody")));
    body.example = serde_json::from_slice(&error.body("9f86d081884c7d659a2feaa0c55ad015")).ok();
    let built = ResponseBuilder::new()
        .description(description(error))
        .content("application/json", body)
        .header("x-request-id", request_id());
    match error.status().as_u16() {
        401 => built.header("www-authenticate", text("Asks for a bearer token.")),
        405 => built.header("allow", text("The methods that the path takes.")),
        429 | 503 => {
            built.header("retry-after", header("Seconds until it is worth trying.", Type::Integer))
        }
        _ => built,
    }
    .build()
}

fn request_id() -> openapi::Header {
    header("The id of the request, as in the service's log.", Type::String)
}

fn header(description: &str, kind: Type) -> openapi::Header {
    HeaderBuilder::new()
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(SchemaType::Type(kind))))
        .build()
}

struct Surroundings;

impl Modify for Surroundings {
    fn modify(&self, document: &mut Document) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.bearer_format = Some("JWT".to_owned());
        scheme.description = Some("The token from `/flask/auth/login`.".to_owned());
        let components = document.components.get_or_insert_default();
        components
            .security_schemes
            .insert("bearer".to_owned(), SecurityScheme::Http(scheme).into());
        // It would be shown as a link to one licence of this name, which does not exist.
        document.info.license = None;
    }
}
