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
            ApiError::WrongShape(""),
            ApiError::TooManyAttempts(0),
            ApiError::TooBusy,
        ],
    ),
];
/// What every path can answer with.
const EVERYWHERE: [ApiError; 4] =
    [ApiError::MalformedBody, ApiError::NotFound, ApiError::MethodNotAllowed, ApiError::Internal];

/// The name and description of an error's response.
fn described(error: &ApiError) -> (&'static str, &'static str) {
    match error.status().as_u16() {
        400 => ("BadRequest", "The request or its body is malformed."),
        401 => ("Unauthorized", "The credentials or the token are missing or not valid."),
        404 => ("NotFound", "Nothing is at this path."),
        405 => ("MethodNotAllowed", "The path takes other methods."),
        408 => ("RequestTimeout", "The body did not arrive in full and in time."),
        413 => ("PayloadTooLarge", "The body is longer than 16 KiB."),
        415 => ("UnsupportedMediaType", "The body is not said to be JSON."),
        422 => ("UnprocessableEntity", "The body is JSON of another shape."),
        429 => ("TooManyRequests", "Too many attempts; wait as long as the header says."),
        503 => ("ServiceUnavailable", "Redis is away, or too many logins wait."),
        _ => ("InternalServerError", "The service failed."),
    }
}

struct Errors;

impl Modify for Errors {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        for error in ERRORS.iter().flat_map(|(_, errors)| *errors).chain(&EVERYWHERE) {
            let (name, _) = described(error);
            components.responses.insert(name.to_owned(), response(error).into());
        }
        for (path, item) in &mut document.paths.paths {
            let own = ERRORS.iter().find(|(of, _)| of == path).map_or(&[][..], |(_, own)| own);
            for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                for error in own.iter().chain(&EVERYWHERE) {
                    let reference = Ref::from_response_name(described(error).0);
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
    let body = Content::new(Some(Ref::from_schema_name("ErrorBody")));
    let built = ResponseBuilder::new()
        .description(described(error).1)
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
