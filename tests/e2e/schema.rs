//! schemathesis asks the served `OpenAPI` document's API, through nginx and TLS, for all it can think
//! of: no answer is a 5xx, and none is one that the document does not describe.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::host::{Provisioned, fields};
use crate::python;

crate::tests! {
    Lab: [the_api_is_what_its_document_says],
}

fn the_api_is_what_its_document_says() {
    let schemathesis = python::program("schemathesis", "schemathesis");
    let host = Provisioned::ready("trixie");
    provision(&host);
    let body = r#"{"username":"admin","password":"password"}"#;
    let login = ["-H", "Content-Type: application/json", "-d", body];
    let answer = Provisioned::curl(&[&login[..], &[&host.url("/flask/auth/login")]].concat());
    let token = fields(&answer, "token");
    ask(&schemathesis, &host, &token, 5, &[]);

    // nginx lets few logins through, so once more without its limit: the login itself is asked.
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/nginx/nginx.conf");
    let conf = fs::read_to_string(conf).unwrap();
    let unlimited = conf.replace("zone=login:10m rate=2r/s", "zone=login:10m rate=1000r/s");
    assert_ne!(unlimited, conf);
    fs::create_dir_all(host.folder().join("templates/nginx")).unwrap();
    fs::write(host.folder().join("templates/nginx/nginx.conf"), unlimited).unwrap();
    provision(&host);
    ask(&schemathesis, &host, &token, 1, &["--include-path=/flask/auth/login"]);
}

fn provision(host: &Provisioned) {
    // The document's example of a login is then a good one.
    let (code, events) = host.hwctl("provision", &["--set", "api.users={admin: password}"]);
    assert_eq!(code, 0, "{events:#?}");
}

fn ask(schemathesis: &Path, host: &Provisioned, token: &str, operations: u8, only: &[&str]) {
    let output = Command::new(schemathesis)
        .current_dir(host.folder())
        .args(["run", &host.url("/flask/openapi.json"), "--tls-verify=false"])
        .args(["-H", &format!("Authorization: Bearer {token}")])
        .args(["--checks=all", "--max-examples=20", "--seed=1", "--no-color"])
        .args(only)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(&format!("Tested: {operations}")), "{said}");
}
