//! The `OpenAPI` document and Swagger UI, as they are served.

use serde_json::Value;

use crate::service::Service;

fn responses(document: &Value, path: &str, method: &str) -> Vec<String> {
    let responses = document["paths"][path][method]["responses"].as_object().expect(path);
    responses.keys().cloned().collect()
}

#[test]
fn the_document_is_complete() {
    let service = Service::without_redis();
    let document = service.get("/flask/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["info"]["title"].as_str().is_some_and(|title| !title.is_empty()));
    assert!(document["info"]["description"].as_str().is_some_and(|text| !text.is_empty()));
    let scheme = &document["components"]["securitySchemes"]["bearer"];
    assert_eq!((&scheme["type"], &scheme["scheme"]), (&"http".into(), &"bearer".into()));

    let all = ["200", "400", "404", "405", "500"];
    for (path, method, own) in [
        ("/flask/", "get", &[][..]),
        ("/flask/api/ping", "get", &[]),
        ("/flask/api/health", "get", &["503"]),
        ("/flask/api/count", "get", &["401", "503"]),
        ("/flask/auth/login", "post", &["401", "408", "413", "415", "422", "429", "503"]),
    ] {
        let mut expected: Vec<_> = all.iter().chain(own).map(|code| (*code).to_owned()).collect();
        expected.sort();
        assert_eq!(responses(&document, path, method), expected, "{path}");
        let operation = &document["paths"][path][method];
        assert!(operation["summary"].is_string() && operation["operationId"].is_string());
    }
    assert_eq!(document["paths"].as_object().map(serde_json::Map::len), Some(5));
    let secured = &document["paths"]["/flask/api/count"]["get"]["security"];
    assert_eq!(secured, &serde_json::json!([{"bearer": []}]));
}

#[test]
fn every_response_has_a_description_and_every_reference_an_end() {
    let service = Service::without_redis();
    let document = service.get("/flask/openapi.json").json();
    let mut seen = 0;
    visit(&document, &mut |key, value| {
        if key == "responses" {
            for response in value.as_object().expect("responses").values() {
                let described = response["description"].as_str().is_some_and(|d| !d.is_empty());
                assert!(described || response["$ref"].is_string(), "{response}");
                seen += 1;
            }
        }
        if key == "$ref" {
            let pointer = value.as_str().and_then(|to| to.strip_prefix('#')).expect("local");
            assert!(document.pointer(pointer).is_some(), "nothing at {pointer}");
        }
    });
    assert!(seen > 20, "{seen}");
}

fn visit(value: &Value, each: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                each(key, value);
                visit(value, each);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| visit(item, each)),
        _ => {}
    }
}

#[test]
fn swagger_ui_is_served_whole_and_from_here_alone() {
    let service = Service::without_redis();
    let page = service.get("/flask/swagger/");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let page = page.text();
    assert!(!page.contains("http://") && !page.contains("https://"), "{page}");
    let files: Vec<&str> = page
        .split(['"', '\''])
        .filter(|part| {
            [Some("js"), Some("css"), Some("png")]
                .contains(&part.rsplit_once('.').map(|(_, end)| end))
        })
        .collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let path = format!("/flask/swagger/{}", file.trim_start_matches("./"));
        let answer = service.get(&path);
        assert_eq!(answer.status, 200, "{path}");
        // nginx compresses it.
        assert_eq!(answer.header("content-encoding"), None);
        let asked = service.send("GET", &path, &[("accept-encoding", "gzip, br")], "");
        assert_eq!((asked.status, asked.header("content-encoding")), (200, None));
        assert_eq!(asked.body, answer.body, "{path}");
        let tag = answer.header("etag").expect("tag");
        let known = service.send("GET", &path, &[("if-none-match", tag)], "");
        assert_eq!(known.status, 304);
    }
    let settings = service.get("/flask/swagger/start.js").text();
    assert!(settings.contains("/flask/openapi.json"), "{settings}");
}
