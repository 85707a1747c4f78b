//! The published schema of the events that `--json` prints.

use schemars::schema_for;
use serde_json::{Value, json};

use super::Event;

/// Where it is published.
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema/events.json");

fn schema() -> String {
    let mut schema = serde_json::to_value(schema_for!(Event)).unwrap();
    let fields = schema.as_object_mut().unwrap();
    fields.insert("title".to_owned(), json!("An event of hwctl"));
    fields.insert(
        "description".to_owned(),
        json!("One line of what `--json` prints, save for `hwctl status` and `hwctl verify`. Later versions \
               may add fields and kinds of events."),
    );
    serde_json::to_string_pretty(&schema).unwrap() + "\n"
}

#[test]
fn the_published_schema_is_that_of_the_events() {
    let schema = schema();
    if std::env::var_os("HWCTL_UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(std::path::Path::new(PATH).parent().unwrap()).unwrap();
        std::fs::write(PATH, &schema).unwrap();
    }

    let published = std::fs::read_to_string(PATH).unwrap_or_default();

    assert!(
        published == schema,
        "docs/schema/events.json is not of these events: `HWCTL_UPDATE_DOCS=1 cargo test --lib schema` makes it"
    );
}

#[test]
fn every_kind_of_event_is_in_the_schema_with_what_it_always_has() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let kinds = schema["oneOf"].as_array().unwrap();
    let names: Vec<_> = kinds.iter().map(|kind| &kind["properties"]["event"]["const"]).collect();

    assert!(
        names.contains(&&json!("plan")) && names.contains(&&json!("plan_differs")),
        "{names:?}"
    );
    for kind in kinds {
        let required = kind["required"].as_array().unwrap();
        assert!(required.contains(&json!("event")), "{kind:#}");
    }
}
