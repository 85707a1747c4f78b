//! Declarations as a JSON Schema, by which editors complete and check an inventory.

use serde_json::{Map as Object, Value as Json, json};

use super::{Declared, Key, Shape, default_of};
use crate::inventory::patterns;

/// The key that hwctl's variables may stand below.
const STRICT: &str = "hwctl";

/// A JSON Schema (draft 7) of inventories with these variables.
#[must_use]
pub fn json_schema(declared: &[Declared]) -> Json {
    let keys: Vec<_> = declared.iter().map(|declared| declared.key).collect();
    let refer = |key: &Key| {
        (key.name.to_owned(), json!({ "$ref": format!("#/definitions/variables/{}", key.name) }))
    };
    let own: Object<_, _> = keys.iter().map(refer).collect();
    let mut vars = own.clone();
    let strict = json!({
        "description": "hwctl's variables, where their names clash with those of others. What stands here is checked \
                        strictly.",
        "type": ["object", "null"],
        "properties": own,
        "additionalProperties": false,
    });
    vars.insert(STRICT.to_owned(), strict);
    let group = json!({
        "type": ["object", "null"],
        "properties": {
            "hosts": {
                "description": "Hosts by name, each with variables of its own or none.",
                "type": ["object", "null"],
                "additionalProperties": { "$ref": "#/definitions/vars" },
            },
            "children": {
                "description": "Groups that lie in this one.",
                "type": ["object", "null"],
                "additionalProperties": { "$ref": "#/definitions/group" },
            },
            "vars": { "$ref": "#/definitions/vars" },
        },
        "additionalProperties": false,
    });
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "hwctl inventory",
        "type": "object",
        "additionalProperties": { "$ref": "#/definitions/group" },
        "definitions": {
            "group": group,
            "vars": { "type": ["object", "null"], "properties": vars },
            "variables": properties(&keys),
            "template": {
                "description": "A template of Jinja.",
                "type": "string",
                "pattern": "\\{[{%]",
            },
            "password": {
                "description": "A password as text, or where it is.",
                "anyOf": [
                    {
                        "type": "string",
                        "pattern": patterns::whole(r"[^\u0000-\u001f\u007f-\u009f]+"),
                    },
                    one_of("env", "A variable of your environment.", &json!({
                        "type": "string",
                        "pattern": patterns::whole(r"[^=\u0000]+"),
                    })),
                    one_of("file", "A file.", &json!({ "type": "string", "minLength": 1 })),
                    one_of("command", "What a program prints.", &json!({
                        "anyOf": [
                            { "type": "string", "pattern": "\\S" },
                            { "type": "array", "minItems": 1, "items": { "type": ["string", "number"] } },
                        ],
                    })),
                ],
            },
        },
    })
}

fn one_of(key: &str, doc: &str, takes: &Json) -> Json {
    json!({
        "type": "object",
        "description": doc,
        "properties": { key: takes },
        "required": [key],
        "additionalProperties": false,
    })
}

/// A map with these keys and no others.
pub(super) fn block(keys: &[Key]) -> Json {
    json!({ "type": "object", "properties": properties(keys), "additionalProperties": false })
}

fn properties(keys: &[Key]) -> Object<String, Json> {
    keys.iter().map(|key| (key.name.to_owned(), property(key))).collect()
}

fn property(key: &Key) -> Json {
    let mut property = value(key.shape);
    property["description"] = Json::from(key.doc.trim().replace('`', ""));
    let default = default_of(key.default).json();
    let is_whole =
        default.as_object().is_some_and(Object::is_empty) && !key.shape.keys().is_empty();
    if !default.is_null() && !is_whole {
        property["default"] = default;
    }
    property
}

/// What a shape takes, null for the default, or a template.
pub(super) fn value(shape: &dyn Shape) -> Json {
    json!({ "anyOf": [shape.json(), { "type": "null" }, { "$ref": "#/definitions/template" }] })
}
