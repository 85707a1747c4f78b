//! The verbs about one app: `deploy`, its way back, and commands in the place of an app.

use super::Shop;
use super::containers::{BY_IMAGE, shop as shop_of_images};
use super::native::BY_PORT;
use crate::host::{changes, failure, outcome};

crate::tests! {
    Lab: [
        a_version_of_an_app_on_the_host_is_deployed_and_taken_back,
        a_version_of_an_app_in_a_container_is_deployed_and_taken_back,
    ],
}

fn a_version_of_an_app_on_the_host_is_deployed_and_taken_back() {
    let shop = Shop::new();
    shop.write("one", BY_PORT);
    let (code, events) = shop.hwctl("deploy", &["shop"]);
    assert_eq!(code, 0, "{events:#?}");
    let (code, events) = shop.hwctl("deploy", &["shop", "--rollback"]);
    assert_eq!(code, 1, "{events:#?}");
    let told = failure(&events);
    assert!(told.contains("no version of `shop` before the present one"), "{told}");

    a_version_comes_and_goes(&shop, BY_PORT);

    let run = |command: &[&str]| {
        let (code, events) = shop.hwctl("exec", &[&["--app", "shop", "--"], command].concat());
        let lines = events.iter().filter(|event| event["event"] == "output");
        let lines: Vec<_> = lines.filter_map(|line| line["text"].as_str()).collect();
        (code, lines.join("\n"))
    };
    assert_eq!(run(&["id", "-un"]), (0, "app-shop".to_owned()));
    let (code, told) = run(&["sh", "-c", "echo \"$GREETING ${TOKEN:+has a token} $HOME $PWD\""]);
    assert_eq!(code, 0, "{told}");
    assert!(
        told.starts_with(
            "it's 100% $HOME has a token /var/lib/app-shop /usr/local/lib/hwctl/apps/shop/"
        ),
        "{told}"
    );
    let (code, told) = run(&["sh", "-c", "touch /etc/x; exit 7"]);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("Read-only file system"), "{told}");
    what_is_no_app_is_refused(&shop);
}

fn a_version_comes_and_goes(shop: &Shop, apps: &str) {
    shop.write("two", apps);
    let (code, events) =
        shop.under_load("a deploy", || shop.hwctl("deploy", &["shop", "--host", "vm"]));
    assert_eq!((code, outcome(&events).as_str()), (0, "changed"), "{events:#?}");
    assert!(shop.body("/shop/").starts_with("two "));

    // What else has changed since stays.
    let more = format!(
        "{apps}    files: {{ /etc/shop-note: {{ content: kept }} }}\n    folders: {{ /srv/shop-notes: {{}} }}\n"
    );
    shop.write("two", &more);
    let (code, events) = shop.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    let (code, events) =
        shop.under_load("the way back", || shop.hwctl("deploy", &["shop", "--rollback"]));
    assert_eq!((code, outcome(&events).as_str()), (0, "changed"), "{events:#?}");
    assert!(shop.body("/shop/").starts_with("one "), "{events:#?}");
    assert_eq!(shop.host.sh("cat /etc/shop-note && ls -d /srv/shop-notes"), "kept/srv/shop-notes");
    let ids = changes(&events);
    assert!(!ids.iter().any(|id| id.contains("notes")), "{ids:?}");
    shop.write("one", &more);
    let (code, events) = shop.hwctl("plan", &[]);
    assert_eq!((code, changes(&events)), (0, vec![]), "{events:#?}");

    // And forth again.
    let (code, events) = shop.hwctl("deploy", &["shop", "--rollback"]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(shop.body("/shop/").starts_with("two "), "{events:#?}");
    let (code, events) = shop.hwctl("status", &[]);
    assert_eq!(code, 0, "{events:#?}");
}

fn what_is_no_app_is_refused(shop: &Shop) {
    for (verb, args) in [
        ("deploy", &["shp"][..]),
        ("exec", &["--app", "shp", "--", "id"]),
        ("deploy", &["shop", "--binary", "/bin/true"]),
    ] {
        let (code, events) = shop.hwctl(verb, args);
        assert_eq!(code, 2, "{events:#?}");
        assert!(failure(&events).contains("no host was contacted"), "{}", failure(&events));
    }
}

fn a_version_of_an_app_in_a_container_is_deployed_and_taken_back() {
    let shop = shop_of_images();
    shop.write("one", BY_IMAGE);
    let (code, events) = shop.hwctl("deploy", &["shop"]);
    assert_eq!(code, 0, "{events:#?}");

    a_version_comes_and_goes(&shop, BY_IMAGE);

    let (code, events) = shop.hwctl(
        "exec",
        &["--app", "shop", "--", "sh", "-c", "echo \"$GREETING ${TOKEN:+has a token}\"; id -u"],
    );
    assert_eq!(code, 0, "{events:#?}");
    let told = format!("{events:?}");
    assert!(told.contains("it's 100% $HOME has a token") && told.contains("999"), "{told}");
}
