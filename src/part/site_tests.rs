//! What sites make of nginx's configuration and of hwctl's own pages.

use super::tests::{debian_13, made, text, try_vars_with, vars_with};

const HOMEWORK: &str = "/etc/nginx/sites-available/homework";
const LANDING: &str = "/var/www/main/index.html";

fn file(sets: &[&str], path: &str) -> String {
    text(&made(&vars_with(sets), &debian_13()).unwrap(), path)
}

#[test]
fn a_site_lies_in_a_folder_of_its_name() {
    let site = file(&["sites.docs={ path: /docs }"], HOMEWORK);

    assert!(site.contains("alias /var/www/docs/;"), "{site}");
}

#[test]
fn a_site_has_a_name_of_its_own() {
    let made = made(&vars_with(&["sites.docs={ host: Docs.example.com }"]), &debian_13()).unwrap();

    let site = text(&made, HOMEWORK);
    assert!(site.contains("server_name docs.example.com;"), "{site}");
    assert!(site.contains("root /var/www/docs;"), "{site}");
    let certificate = made.resources.iter().find_map(|declared| match &declared.resource {
        crate::resource::Resource::Certificate(certificate) => Some(certificate.names.clone()),
        _ => None,
    });
    assert!(certificate.unwrap().contains(&"docs.example.com".to_owned()));
    let page = text(&made, "/var/www/docs/index.html");
    assert!(page.contains("Nothing has been put here yet"), "{page}");
}

#[test]
fn a_redirect_keeps_what_comes_after_its_path() {
    let site = file(
        &[
            "sites.old={ path: /a.b, redirect: 'https://example.com' }",
            "sites.shelf={ host: old.example.com, redirect: 'https://example.com/' }",
            "sites.search={ path: /s, redirect: 'https://example.com/?q=1' }",
        ],
        HOMEWORK,
    );

    assert!(site.contains(r#""~^/a\.b(?<rest>[/?][!-~]*)$" $rest;"#), "{site}");
    assert!(site.contains(r#""~^(?:/|(?=\?))(?<rest>[!-~]*)$" $rest;"#), "{site}");
    let of_search = site.split("location = /s {").nth(1).unwrap().split('}').next().unwrap();
    assert!(of_search.contains("\"https://example.com/?q=1\";"), "{of_search}");
    assert!(!of_search.contains("$rest"), "{of_search}");
    assert!(!site.contains("@site-old"), "{site}");
}

#[test]
fn headers_of_a_site_take_the_place_of_namesakes_alone() {
    let sets = ["sites.site1.headers={ content-security-policy: \"default-src 'none'\", X-A: b }"];

    let site = file(&sets, HOMEWORK);

    let of_site = site.split("location /open/ {").nth(1).unwrap().split("\n    }").next().unwrap();
    assert!(of_site.contains(r#"add_header content-security-policy "default-src 'none'" always;"#));
    assert!(of_site.contains("add_header X-A b always;"), "{of_site}");
    assert!(!of_site.contains("Content-Security-Policy"), "{of_site}");
    for kept in ["Strict-Transport-Security", "X-Content-Type-Options", "X-Frame-Options"] {
        assert!(of_site.contains(kept), "{kept} is not in {of_site}");
    }
}

#[test]
fn files_are_kept_as_long_as_the_site_says() {
    let site = file(&["sites.site1.cache=12h"], HOMEWORK);

    assert!(site.contains("    default 12h;\n    \"~^text/html\" epoch;\n"), "{site}");
}

#[test]
fn the_landing_page_can_be_left_out() {
    let site = file(&["sites.main=null"], HOMEWORK);

    assert!(site.contains("    location / {\n        return 404;\n"), "{site}");
}

#[test]
fn the_landing_page_locks_what_asks_for_a_password() {
    let sets = [
        "sites.site2.title='<b>\"Closed\"</b>'",
        "sites.site1.description='Open to all'",
        "sites.board={ host: board.example.com }",
        "sites.main.title=Ours",
        "sites.main.description='All that we have'",
    ];

    let page = file(&sets, LANDING);

    assert!(page.contains("<h1>Ours</h1>") && page.contains("All that we have"), "{page}");
    assert!(page.contains("Open to all"), "{page}");
    let locked = page.split("<iframe src=\"/close\" srcdoc=\"").nth(1).unwrap();
    let locked = locked.split('"').next().unwrap();
    assert!(locked.contains("&lt;h1&gt;&amp;lt;b&amp;gt;"), "{locked}");
    assert!(!page.contains("<b>"), "{page}");
    assert!(page.contains("href=\"https://board.example.com/\""), "{page}");
    assert_eq!(page.matches("<iframe").count(), 3, "{page}");
    assert!(file(&sets, "/var/www/main/favicon.svg").contains(">O</text>"));
}

#[test]
fn what_a_site_cannot_have_is_refused() {
    for (set, expected) in [
        ("sites.docs={}", "`sites.docs` lacks `path` or `host`"),
        ("sites.docs={ path: /a, host: a.example.com }", "takes one of `path` and `host`"),
        ("sites.docs={ host: 192.0.2.1 }", "`sites.docs.host` takes a host name"),
        ("sites.main.host=a.example.com", "takes one of `path` and `host`"),
        ("sites.main.path=/start", "`sites.main.path` is `/`, not `/start`"),
        ("sites.docs={ path: /a, redirect: example.com }", "`sites.docs.redirect` takes a URL"),
        ("sites.docs={ path: /a, redirect: /b, root: /srv/a }", "one of `redirect` and `root`"),
        ("sites.docs={ path: /a, redirect: /b, spa: true }", "one of `redirect` and `spa`"),
        ("sites.site2.redirect=/b", "one of `redirect` and `users"),
        ("sites.docs={ path: /a, ignore: ['*.map'] }", "`sites.docs.ignore` needs `source`"),
        ("sites.docs={ path: /a, ignore: ['!a'] }", "takes a pattern such as"),
        ("sites.docs={ path: /a, cache: 10 }", "`sites.docs.cache` takes a time"),
        ("sites.docs={ path: /a, cache: 2y }", "`sites.docs.cache` takes a time"),
        (
            "sites.docs={ path: /a, headers: { Content-Type: a } }",
            "not usable as the name of a header",
        ),
        ("sites.docs={ path: /a, headers: { X-Frame-Options: '' } }", "which cannot be empty"),
        ("sites.docs={ path: /a, headers: { X-A: '$host' } }", "without `$`"),
        ("sites.docs={ path: /a, title: ' ' }", "`sites.docs.title` takes a line"),
        ("sites.docs={ path: /a, spa: maybe }", "`sites.docs.spa` takes true or false"),
    ] {
        let message = try_vars_with(&[set]).unwrap_err().what;
        assert!(message.contains(expected), "{expected:?} is not in {message:?}");
    }
}
