//! Values of the inventory as templates see them, and back.

use minijinja::value::{Value as Jinja, ValueKind};
use serde_json::Number;

use crate::inventory::yaml::integer;
use crate::inventory::yaml::node::{Entry, Node, Value};
use crate::inventory::yaml::place::Place;

/// A value without others in it.
pub(super) fn of_scalar(value: &Value) -> Jinja {
    match value {
        Value::Flag(flag) => Jinja::from(*flag),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => Jinja::from(number),
            (_, Some(number), _) => Jinja::from(number),
            (_, _, Some(number)) => Jinja::from(number),
            _ => Jinja::from(()),
        },
        Value::Integer(digits) => match digits.parse::<i128>() {
            Ok(number) => Jinja::from(number),
            Err(_) => Jinja::from(digits.as_str()),
        },
        Value::Text(text) | Value::Literal(text) => Jinja::from(text.as_str()),
        Value::Null | Value::Vault(_) | Value::Later(_) | Value::List(_) | Value::Map(_) => {
            Jinja::from(())
        }
    }
}

/// What a template gives, as a value that is never evaluated again. None if it has no form in YAML.
pub(super) fn to_node(value: &Jinja, place: &Place) -> Option<Node> {
    let value = match value.kind() {
        ValueKind::None => Value::Null,
        ValueKind::Bool => Value::Flag(value.is_true()),
        ValueKind::Number if value.is_integer() => {
            integer::value(i128::try_from(value.clone()).ok()?)
        }
        ValueKind::Number => Value::Number(Number::from_f64(f64::try_from(value.clone()).ok()?)?),
        ValueKind::String => Value::Literal(value.as_str()?.to_owned()),
        ValueKind::Seq | ValueKind::Iterable => Value::List(
            value.try_iter().ok()?.map(|item| to_node(&item, place)).collect::<Option<_>>()?,
        ),
        ValueKind::Map => {
            let entry = |key: Jinja| {
                let node = to_node(&value.get_item(&key).ok()?, place)?;
                Some(Entry { key: key.to_string(), place: place.clone(), node })
            };
            Value::Map(value.try_iter().ok()?.map(entry).collect::<Option<_>>()?)
        }
        _ => return None,
    };
    Some(Node::new(value, place.clone()))
}
