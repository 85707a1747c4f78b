//! Broken and hostile templates.

use std::fs;

use serde_json::json;

use super::*;

fn load(name: &str, text: &str) -> Result<Templates> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    Templates::load(folder.path(), &["jwt-key"])
}

fn failure(error: &anyhow::Error) -> Failure {
    Failure::from_error(crate::failure::Exit::Failed, error)
}

#[test]
fn an_undefined_variable_is_an_error_with_its_place() {
    let templates = load("app/env", "A=1\nB={{ absent }}\n").unwrap();
    let error = templates.render("app/env", &json!({}), &Passwords::new()).unwrap_err();
    let failure = failure(&error);
    assert_eq!(failure.exit, crate::failure::Exit::Usage);
    assert!(failure.what.contains("`app/env:2:6` is broken"), "{}", failure.what);
    assert!(failure.why.concat().contains("{{ absent }}"), "{failure:?}");
}

#[test]
fn a_broken_override_is_an_error_with_its_place() {
    let error = load("app/env", "A=1\n{% if %}\n").err().unwrap();
    assert!(failure(&error).what.contains("`app/env:2:"), "{error}");
    let error = load("app/env", "{{ a | nofilter }}").err().unwrap();
    assert!(failure(&error).what.contains("app/env:1:"), "{error}");
}

#[test]
fn a_broken_template_of_ones_own_fails_only_where_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("www/main")).unwrap();
    for (name, text) in [
        ("bad", "A=1\n{% if %}\n"),
        ("by-bad", "{% include \"bad\" %}"),
        ("good", "A"),
        ("a-by-good", "{% include \"good\" %}B"),
        ("www/main/bad.html", "{{ a | nofilter }}"),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }

    let templates = Templates::load(folder.path(), &[]).unwrap();

    let render = |name: &str| templates.render_text(name, &json!({}));
    assert_eq!(render("a-by-good").unwrap(), "AB");
    assert!(failure(&render("bad").unwrap_err()).what.contains("`bad:2:"), "{:?}", render("bad"));
    assert!(render("by-bad").is_err());
    assert!(render("app/env").is_err_and(|error| !error.to_string().contains("bad")));
    assert!(templates.names_below("www/main/").contains(&"www/main/bad.html".to_owned()));
    assert!(failure(&render("www/main/bad.html").unwrap_err()).what.contains("bad.html:1:"));
}

#[test]
fn an_override_of_nothing_names_the_nearest() {
    let error = load("nginx/homwork", "x").err().unwrap();
    assert_eq!(failure(&error).hint.as_deref(), Some("the nearest is `nginx/homework`"));
    assert!(load("www/main/more.html", "x").is_ok());
    assert!(Templates::load(Path::new("/nonexistent"), &[]).is_ok());
}

#[test]
fn secrets_are_places_that_values_cannot_forge() {
    let templates = load(
        "app/env",
        "{{ a }}{{ secret(name=\"jwt-key\") }}{{ password_hash(user=\"u:x\", scheme=\"argon2id\") }}!",
    )
    .unwrap();
    let passwords = Passwords::from([("u:x".to_owned(), Secret::new("planted"))]);
    let parts = templates.render("app/env", &json!({"a": "hwctl0x0x"}), &passwords).unwrap();
    assert_eq!(
        parts,
        [
            Part::Text("hwctl0x0x".to_owned()),
            Part::HostSecret("jwt-key".to_owned()),
            Part::Hash {
                user: "u:x".to_owned(),
                password: Secret::new("planted"),
                scheme: HashScheme::Argon2id
            },
            Part::Text("!".to_owned()),
        ]
    );
}

#[test]
fn misused_secrets_are_errors() {
    for (text, expected) in [
        ("{{ secret(name=\"nope\") }}", "there is no secret `nope`"),
        ("{{ password_hash(user=\"u\", scheme=\"md5\") }}", "there is no scheme `md5`"),
        ("{{ password_hash(user=\"u\", scheme=\"argon2id\") }}", "no password of `u`"),
        ("{{ secret(name=\"jwt-key\") | upper }}", "a filter has changed"),
        ("{{ secret(name=\"jwt-key\") | truncate(length=38) }}", "a filter has changed"),
    ] {
        let templates = load("app/env", text).unwrap();
        let error = templates.render("app/env", &json!({}), &Passwords::new()).unwrap_err();
        let failure = failure(&error);
        assert!(failure.what.contains(expected), "{expected:?} is not in {failure:?}");
        assert!(format!("{failure:?}").contains("app/env"), "{failure:?}");
    }
    let templates = load("app/env", "{{ secret(name=\"jwt-key\") }}").unwrap();
    let error = templates.render_text("app/env", &json!({})).unwrap_err().to_string();
    assert!(error.contains("where others read"), "{error}");
}

#[test]
fn pages_are_escaped_and_configuration_is_not() {
    let templates = load("www/x.html", "{{ a }}").unwrap();
    let context = json!({"a": "<b>"});
    assert_eq!(templates.render_text("www/x.html", &context).unwrap(), "&lt;b&gt;");
    let templates = load("app/env", "{{ a }}").unwrap();
    assert_eq!(templates.render_text("app/env", &context).unwrap(), "<b>");
}
