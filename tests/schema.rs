//! schemathesis asks the served `OpenAPI` document's API, through nginx and TLS, for all it can think
//! of: no answer is a 5xx, and none is one that the document does not describe.

mod host;
mod python;

use std::process::Command;

use host::{Provisioned, fields};

#[test]
fn the_api_is_what_its_document_says() {
    let schemathesis = python::program("schemathesis", "schemathesis");
    let lab = host::lab();
    let host = Provisioned::fresh(&lab, "trixie");
    // What the document gives as an example of a login is then a good one.
    let users = "api.users={admin: password}";
    let (code, events) = host.hwctl("provision", &["--set", users]);
    assert_eq!(code, 0, "{events:#?}");
    let body = r#"{"username":"admin","password":"password"}"#;
    let login = ["-H", "Content-Type: application/json", "-d", body];
    let answer = Provisioned::curl(&[&login[..], &[&host.url("/flask/auth/login")]].concat());

    let bearer = format!("Authorization: Bearer {}", fields(&answer, "token"));
    let output = Command::new(schemathesis)
        .current_dir(host.folder())
        .args(["run", &host.url("/flask/openapi.json"), "--tls-verify=false", "-H", &bearer])
        .args(["--checks=all", "--max-examples=20", "--seed=1", "--no-color"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("Tested: 5"), "{said}");
}
