//! The filters and tests of templates: the common ones of Jinja, and those of Ansible that need nothing but their
//! input. minijinja has more, which would make hwctl larger by a fiftieth.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use minijinja::value::{Kwargs, Value as Jinja, ValueKind};
use minijinja::{Environment, Error, ErrorKind};

/// The longest list that `range` makes.
const LONGEST_RANGE: i64 = 10_000;

pub(super) fn add_to(environment: &mut Environment<'static>) {
    let default = |value: &Jinja, other: Option<Jinja>, lax: Option<bool>, options: Kwargs| {
        default(value, other, lax, &options)
    };
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.add_filter("mandatory", |value: Jinja| value);
    environment.add_filter("bool", bool);
    environment.add_filter("int", int);
    environment.add_filter("string", |value: &Jinja| text_of(value));
    environment.add_filter("lower", |value: &Jinja| text_of(value).map(|text| text.to_lowercase()));
    environment.add_filter("upper", |value: &Jinja| text_of(value).map(|text| text.to_uppercase()));
    environment
        .add_filter("trim", |value: &Jinja| text_of(value).map(|text| text.trim().to_owned()));
    environment.add_filter("replace", replace);
    environment.add_filter("join", join);
    environment.add_filter("first", |value: &Jinja| items(value).map(|items| end(items.first())));
    environment.add_filter("last", |value: &Jinja| items(value).map(|items| end(items.last())));
    environment.add_filter("length", length);
    environment.add_filter("count", length);
    environment.add_filter("ternary", ternary);
    environment.add_filter("b64encode", |value: &Jinja| {
        text_of(value).map(|text| BASE64_STANDARD.encode(text))
    });
    environment.add_filter("b64decode", b64decode);
    environment.add_filter("basename", |value: &Jinja| {
        text_of(value).map(|path| path.rsplit('/').next().map(str::to_owned))
    });
    environment.add_filter("dirname", |value: &Jinja| text_of(value).map(|path| dirname(&path)));
    environment.add_test("string", |value: &Jinja| value.kind() == ValueKind::String);
    environment.add_test("number", |value: &Jinja| value.kind() == ValueKind::Number);
    environment.add_test("boolean", |value: &Jinja| value.kind() == ValueKind::Bool);
    environment.add_test("mapping", |value: &Jinja| value.kind() == ValueKind::Map);
    environment.add_test("sequence", |value: &Jinja| value.kind() == ValueKind::Seq);
    environment.add_function("range", range);
}

/// The value, or another where it is not defined; with true as a last argument also where it is empty.
fn default(
    value: &Jinja,
    other: Option<Jinja>,
    lax: Option<bool>,
    options: &Kwargs,
) -> Result<Jinja, Error> {
    let named = match options.has("boolean") {
        true => options.get("boolean")?,
        false => false,
    };
    options.assert_all_used()?;
    let is_lax = lax.unwrap_or(named);
    let is_missing = value.is_undefined() || is_lax && !value.is_true();
    Ok(if is_missing { other.unwrap_or_else(|| Jinja::from("")) } else { value.clone() })
}

/// Whether a value means yes to Ansible.
fn bool(value: &Jinja) -> Jinja {
    match value.kind() {
        ValueKind::None | ValueKind::Bool => value.clone(),
        _ => {
            let text = value.to_string().to_lowercase();
            Jinja::from(["yes", "on", "1", "true"].contains(&text.as_str()))
        }
    }
}

/// The whole number in a value, or another where there is none.
fn int(value: &Jinja, other: Option<i64>) -> Result<Jinja, Error> {
    if value.is_integer() {
        return Ok(value.clone());
    }
    let number = match value.kind() {
        ValueKind::Bool => Some(i64::from(value.is_true())),
        // Both are cut off at their point.
        ValueKind::Number | ValueKind::String => {
            let text = text_of(value)?;
            let text = text.trim();
            let whole = |number: f64| format!("{:.0}", number.trunc()).parse().ok();
            text.parse().ok().or_else(|| whole(text.parse().ok()?))
        }
        _ => None,
    };
    Ok(Jinja::from(number.or(other).unwrap_or_default()))
}

fn replace(value: &Jinja, from: &Jinja, to: &Jinja) -> Result<String, Error> {
    Ok(text_of(value)?.replace(&text_of(from)?, &text_of(to)?))
}

fn join(value: &Jinja, between: Option<&str>) -> Result<String, Error> {
    let texts = items(value)?.iter().map(text_of).collect::<Result<Vec<_>, _>>()?;
    Ok(texts.join(between.unwrap_or_default()))
}

fn length(value: &Jinja) -> Result<usize, Error> {
    let length = match value.as_str() {
        Some(text) => Some(text.chars().count()),
        None => value.len(),
    };
    length.ok_or_else(|| wrong("a value without parts has no length"))
}

fn ternary(value: &Jinja, yes: Jinja, no: Jinja) -> Jinja {
    if value.is_true() { yes } else { no }
}

fn b64decode(value: &Jinja) -> Result<String, Error> {
    let decoded = BASE64_STANDARD.decode(text_of(value)?).ok();
    let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| wrong("this is not text in base64"))
}

fn dirname(path: &str) -> String {
    match path.rsplit_once('/') {
        Some(("", _)) => "/".to_owned(),
        Some((folder, _)) => folder.to_owned(),
        None => String::new(),
    }
}

fn range(first: i64, end: Option<i64>) -> Result<Vec<i64>, Error> {
    let (first, end) = end.map_or((0, first), |end| (first, end));
    match end.checked_sub(first) {
        Some(length) if length <= LONGEST_RANGE => Ok((first..end).collect()),
        _ => Err(wrong("this range is too long")),
    }
}

/// A value as a text has it. What is not defined is an error.
pub(super) fn text_of(value: &Jinja) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Undefined => {
            Err(Error::new(ErrorKind::UndefinedError, "the expression is undefined"))
        }
        ValueKind::None => Ok("None".to_owned()),
        ValueKind::Bool => Ok(if value.is_true() { "True" } else { "False" }.to_owned()),
        ValueKind::Number | ValueKind::String => Ok(value.to_string()),
        kind => Err(wrong(format!("a {kind} cannot be part of a text"))),
    }
}

fn items(value: &Jinja) -> Result<Vec<Jinja>, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.chars().map(Jinja::from).collect());
    }
    Ok(value.try_iter()?.collect())
}

/// The item at an end of a list; undefined where the list is empty.
fn end(item: Option<&Jinja>) -> Jinja {
    item.cloned().unwrap_or(Jinja::UNDEFINED)
}

fn wrong(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}
