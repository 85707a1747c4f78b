//! Rules for secrets: by reference, or as they are.

use serde_json::{Value as Json, json};

use super::password::Password;
use super::{Field, Reader, Rule, Shape};
use crate::inventory::patterns;
/// One password, which a program gets.
#[derive(Clone, Copy, Debug)]
pub struct OnePassword;

impl Shape for OnePassword {
    fn expected(&self) -> String {
        "a password".to_owned()
    }

    fn json(&self) -> Json {
        json!({ "$ref": "#/definitions/password" })
    }

    fn is_secret(&self) -> bool {
        true
    }
}

impl Rule for OnePassword {
    type Value = Password;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Password> {
        reader.secret(field.node, &field.path)
    }
}

/// One URL with a secret in it, such as the one of a webhook.
#[derive(Clone, Copy, Debug)]
pub struct OneUrl;

impl Shape for OneUrl {
    fn expected(&self) -> String {
        "a URL".to_owned()
    }

    fn json(&self) -> Json {
        json!({
            "allOf": [
                { "$ref": "#/definitions/password" },
                {
                    "if": { "type": "string" },
                    "then": { "pattern": patterns::whole(patterns::WEB_URL) },
                },
            ],
        })
    }

    fn is_secret(&self) -> bool {
        true
    }
}

impl Rule for OneUrl {
    type Value = Password;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Password> {
        reader.secret_url(field.node, &field.path)
    }
}
