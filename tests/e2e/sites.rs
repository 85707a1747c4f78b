//! The operator's own sites: folders with all that users put into them, names of their own, redirects, and a host without
//! a landing page.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::host::{Provisioned, failure, outcome};
use crate::nginx::gixy_finds_nothing;

crate::tests! {
    Lab: [sites_are_served_as_declared, a_folder_is_what_its_owner_sees, a_host_serves_without_the_default_sites],
}

/// A host with an inventory beside its own that has sites.
struct Sites {
    host: Provisioned,
}

impl Sites {
    fn new(sites: &str) -> Self {
        let sites = Self { host: Provisioned::ready("trixie") }.declaring(sites);
        sites.write("pages/index.html", "<h1>Pages</h1>\n");
        sites
    }

    fn declaring(self, sites: &str) -> Self {
        self.declare(sites);
        self
    }

    fn declare(&self, sites: &str) {
        let text = format!("all:\n  vars:\n    sites:\n      site2: null\n{sites}");
        fs::write(self.host.folder().join("sites.yaml"), text).unwrap();
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.host.folder().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn hwctl(&self, verb: &str, args: &[&str]) -> (i32, Vec<Value>) {
        self.host.hwctl(verb, &[&["-i", "inventory.yaml", "-i", "sites.yaml"], args].concat())
    }

    fn provision(&self) {
        let (code, events) = self.hwctl("provision", &[]);
        assert_eq!(code, 0, "{events:#?}");
    }

    fn are_as_declared(&self) {
        let (code, events) = self.hwctl("provision", &[]);
        assert_eq!((code, outcome(&events).as_str()), (0, "unchanged"), "{events:#?}");
        for verb in ["status", "verify", "doctor"] {
            let (code, events) = self.hwctl(verb, &[]);
            assert_eq!(code, 0, "{verb}: {events:#?}");
        }
    }

    /// The head and the body that a path of a name answers with, from outside.
    fn get(&self, name: &str, path: &str) -> (String, String) {
        let at = format!("{name}:443:{}", self.host.host.address);
        let url = format!("https://{name}{path}");
        let answer = Provisioned::curl(&["-i", "--path-as-is", "--resolve", &at, &url]);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        (head.to_lowercase(), body.to_owned())
    }

    fn at(&self, path: &str) -> (String, String) {
        self.get(&self.host.host.address.to_string(), path)
    }
}

const SITES: &str = r#"
      docs:
        host: docs.example.com
        source: pages
        cache: 12h
        headers: { X-Robots-Tag: noindex, Content-Security-Policy: "default-src 'self'; style-src 'self' https://cdn.example.com" }
      app: { path: /app, source: app, spa: true, title: Our app }
      old: { path: /old, redirect: https://www.example.com/new }
      moved: { host: old.example.com, redirect: https://www.example.com/ }
"#;

fn sites_are_served_as_declared() {
    let sites = Sites::new(SITES);
    sites.write("pages/data.bin", "\u{1}bytes");
    sites.write("app/index.html", "<h1>App</h1>\n");
    sites.write("app/app.js", "start();\n");
    sites.provision();
    sites.are_as_declared();
    // nginx has to look for a file in any case before it gives a browser's app another one.
    gixy_finds_nothing(&sites.host, &["--skips", "try_files_is_evil_too"]);

    a_name_of_its_own_has_its_headers(&sites);
    an_app_of_the_browser_has_all_paths(&sites);
    redirects_keep_what_comes_after(&sites);
    let landing = sites.at("/").1;
    assert!(
        landing.contains("https://docs.example.com/") && landing.contains("Our app"),
        "{landing}"
    );

    // What leaves the inventory leaves the host.
    sites.declare("");
    sites.provision();
    assert!(sites.get("docs.example.com", "/").0.starts_with("http/2 421"));
    assert!(sites.at("/old").0.starts_with("http/2 404"));
    assert!(!sites.host.sh_ok("test -e /var/www/docs || test -e /var/www/app"));
}

fn a_name_of_its_own_has_its_headers(sites: &Sites) {
    let (head, body) = sites.get("docs.example.com", "/");
    assert!(head.starts_with("http/2 200") && body.contains("Pages"), "{head}\n{body}");
    for header in [
        "x-robots-tag: noindex",
        "content-security-policy: default-src 'self'; style-src 'self' https://cdn.example.com",
        "strict-transport-security: max-age=31536000",
        "x-content-type-options: nosniff",
        "cache-control: no-cache",
    ] {
        assert!(head.contains(header), "`{header}` is not in {head}");
    }
    assert_eq!(head.matches("content-security-policy:").count(), 1, "{head}");
    let (head, _) = sites.get("docs.example.com", "/data.bin");
    assert!(head.contains("cache-control: max-age=43200"), "{head}");
    let (head, body) = sites.get("docs.example.com", "/absent");
    assert!(head.starts_with("http/2 404") && body.contains("Not here"), "{head}\n{body}");
    let names =
        sites.host.sh("openssl x509 -in /etc/nginx/ssl/homework.crt -noout -ext subjectAltName");
    assert!(names.contains("DNS:docs.example.com") && names.contains("DNS:old.example.com"));
    let http =
        Provisioned::curl(&["-I", "-H", "Host: docs.example.com", &sites.host.http_url("/a?b")]);
    assert!(http.contains("https://docs.example.com/a?b"), "{http}");
}

fn an_app_of_the_browser_has_all_paths(sites: &Sites) {
    assert_eq!(sites.at("/app/app.js").1, "start();\n");
    for path in ["/app/", "/app/items/7", "/app/items/"] {
        let (head, body) = sites.at(path);
        assert!(head.starts_with("http/2 200"), "{path}: {head}");
        assert_eq!(body, "<h1>App</h1>\n", "{path}");
    }
    let (head, _) = sites.at("/app");
    assert!(head.contains("location: /app/"), "{head}");
    assert!(sites.at("/app/.git/config").0.starts_with("http/2 404"));
}

fn redirects_keep_what_comes_after(sites: &Sites) {
    for (path, to) in [
        ("/old", "https://www.example.com/new"),
        ("/old/", "https://www.example.com/new/"),
        ("/old/a%20b/c?d=e", "https://www.example.com/new/a%20b/c?d=e"),
        ("/old?d=e", "https://www.example.com/new?d=e"),
    ] {
        let (head, _) = sites.at(path);
        assert!(head.starts_with("http/2 301"), "{path}: {head}");
        assert!(head.contains(&format!("location: {to}\r\n")), "{path}: {head}");
    }
    let (head, _) = sites.get("old.example.com", "/a/b?c");
    assert!(head.contains("location: https://www.example.com/a/b?c\r\n"), "{head}");
    assert!(sites.at("/older").0.starts_with("http/2 404"));
}

const FOLDER: &str = "
      files: { path: /files, source: pages, ignore: ['*.map', drafts/, /private] }
";

/// Names that need quoting in a URL, a shell or a template.
const NAMES: [(&str, &str); 8] = [
    ("a b.html", "a%20b.html"),
    ("-rf.html", "-rf.html"),
    ("it's \"quoted\".html", "it%27s%20%22quoted%22.html"),
    ("größe.html", "gr%C3%B6%C3%9Fe.html"),
    ("100%.html", "100%25.html"),
    ("semi;colon&more.html", "semi%3Bcolon%26more.html"),
    ("back\\slash.html", "back%5Cslash.html"),
    ("$HOME {{ name }}.html", "%24HOME%20%7B%7B%20name%20%7D%7D.html"),
];

fn a_folder_is_what_its_owner_sees() {
    let sites = Sites::new(FOLDER);
    let folder = sites.host.folder().join("pages");
    for (name, _) in NAMES {
        sites.write(&format!("pages/{name}"), name);
        sites.write(&format!("pages/in {name}/x.html"), name);
    }
    for name in
        ["app.js.map", "drafts/a.html", "private/a.html", ".git/config", ".env", "sub/private"]
    {
        sites.write(&format!("pages/{name}"), "text");
    }
    symlink("index.html", folder.join("linked.html")).unwrap();

    sites.provision();

    for (name, url) in NAMES {
        assert_eq!(sites.at(&format!("/files/{url}")).1, name);
        assert_eq!(sites.at(&format!("/files/in%20{url}/x.html")).1, name);
    }
    assert!(sites.at("/files/linked.html").1.contains("Pages"));
    let hidden = "cd /var/www/files && find . -name .git -o -name .env -o -name '*.map' -o -name drafts -o -path ./private";
    assert_eq!(sites.host.sh(hidden), "");
    assert!(sites.host.sh_ok("test -f /var/www/files/sub/private"), "the pattern is about the top");
    sites.are_as_declared();

    fs::remove_file(folder.join("-rf.html")).unwrap();
    sites.provision();
    assert!(sites.at("/files/-rf.html").0.starts_with("http/2 404"));
    assert!(!sites.host.sh_ok("test -e /var/www/files/-rf.html"));

    for (name, target, says) in [
        ("outside", "/etc/passwd", "outside of its folder"),
        ("folder", "sub", "is a link to a folder"),
        ("nowhere", "absent", "cannot be followed"),
    ] {
        symlink(target, folder.join(name)).unwrap();
        let (code, events) = sites.hwctl("provision", &[]);
        assert_eq!(code, 2, "{events:#?}");
        assert!(failure(&events).contains(says), "{}", failure(&events));
        fs::remove_file(folder.join(name)).unwrap();
    }
    sites.write("pages/new\nline.html", "text");
    let (code, events) = sites.hwctl("provision", &[]);
    assert_eq!(code, 2, "{events:#?}");
    assert!(failure(&events).contains("has a name that no URL can have"), "{}", failure(&events));
}

fn a_host_serves_without_the_default_sites() {
    let sites = Sites::new("      main: null\n      site1: null\n");

    sites.provision();

    sites.are_as_declared();
    let (head, body) = sites.at("/");
    assert!(head.starts_with("http/2 404") && body.contains("Not here"), "{head}\n{body}");
    assert!(!sites.host.sh_ok("test -e /var/www/main"));
    assert!(sites.at("/flask/api/ping").0.starts_with("http/2 200"));
}
