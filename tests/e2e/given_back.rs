//! What a page had before hwctl replaced it comes back whole: its ACL, attributes, flags, times, names.

use std::fs;

use crate::host::{Provisioned, outcome};
use serde_json::Value;

crate::tests! {
    Lab: [all_of_a_page_comes_back_on_debian_13, all_of_a_page_comes_back_on_debian_12, names_on_another_file_system_are_told_of],
}

/// A site whose pages are those of a folder beside the inventory.
const SITE: [&str; 2] = ["--set", "sites.docs={path: /docs, root: /srv/docs, source: docs}"];
/// All that there is of the pages; the inode of one with more names.
const ALL: &str = "cd /srv && find . -type f -printf '%p %m %U:%G %n %T@ %s %b\\n' -o \
                   -type l -printf '%p %l %U:%G %T@\\n' -o -printf '%p %m %U:%G\\n' | sort && \
                   find . -links +1 -type f -printf '%p %i\\n' | sort && \
                   find . ! -type l | sort | xargs getfacl && find . | sort | xargs getfattr -dh -m - && \
                   find . -type f -o -type d | sort | xargs lsattr -d && \
                   find . -type f | sort | xargs -r sha256sum";

fn all_of_a_page_comes_back_on_debian_13() {
    all_of_a_page_comes_back("trixie");
}

fn all_of_a_page_comes_back_on_debian_12() {
    all_of_a_page_comes_back("bookworm");
}

fn all_of_a_page_comes_back(release: &str) {
    let host = &Provisioned::ready(release);
    host.sh("apt-get install -qq acl attr >/dev/null 2>&1");
    write_pages(host);
    host.sh(
        "mkdir -p /srv/docs/folder && cd /srv/docs && \
         for page in acl attributes linked capable plain folder/inner; do echo mine >$page.html; done && \
         chmod 0640 acl.html && setfacl -m u:ubuntu:rw,g:games:r acl.html && \
         setfacl -m d:u:ubuntu:rwX . && setfacl -m u:ubuntu:rwx,d:g:games:rx folder && \
         setfattr -n user.note -v kept attributes.html && chattr +dA attributes.html && \
         setcap cap_net_raw+ep capable.html && ln linked.html ../second && ln linked.html third && \
         ln -s ../somewhere link.html && chown -h ubuntu link.html && chown ubuntu:games plain.html && \
         truncate -s 3M holes.html && printf end >>holes.html && chmod 0604 holes.html && \
         find /srv -exec touch -h -d '2001-02-03 04:05:06.789' {} +",
    );
    let before = host.sh(ALL);
    assert!(before.contains("user:ubuntu:rw-") && before.contains("user.note"), "{before}");

    let (code, events) = host.hwctl("plan", &SITE);
    assert_eq!(code, 3);
    let plan = serde_json::to_string(&events).unwrap();
    for shown in ["user:ubuntu:rw-", "its 2 other names (hard links) keep the content of before"] {
        assert!(plan.contains(shown), "the plan does not tell of {shown}: {plan}");
    }

    assert_eq!(host.hwctl("provision", &SITE).0, 0);
    assert_eq!(host.hwctl("plan", &SITE).0, 0, "a second run has nothing to do");
    assert_eq!(host.sh("cat /srv/second /srv/docs/third"), "mine\nmine");
    assert_eq!(host.sh("cd /srv/docs && cat linked.html link.html"), "new\nnew");
    let rights = host.sh("getfacl -p /srv/docs/acl.html; getcap /srv/docs/capable.html");
    assert!(!rights.contains("ubuntu") && !rights.contains("cap_net_raw"), "{rights}");
    assert_eq!(host.sh("stat -c %a /srv/docs/acl.html /srv/docs/new.html"), "644\n644");
    assert_eq!(host.sh("getfattr -n user.note --only-values /srv/docs/attributes.html"), "kept");

    assert_eq!(host.hwctl("rollback", &["--yes"]).0, 0);
    assert_same(&before, &host.sh(ALL), "a rollback");

    // A run that fails at its very end.
    host.break_at_the_end();
    let (code, events) = host.hwctl("provision", &SITE);
    assert_eq!(code, 4, "{events:#?}");
    host.mend();
    assert_same(&before, &host.sh(ALL), "a run that was undone");

    assert_eq!(host.hwctl("provision", &SITE).0, 0);
    // Another name changes meanwhile: what was there comes back, and the other name keeps its change.
    host.sh("echo other >/srv/second");
    assert_eq!(host.hwctl("rollback", &["--yes"]).0, 0);
    assert_eq!(
        host.sh("cat /srv/docs/linked.html /srv/second /srv/docs/third"),
        "mine\nother\nother"
    );
    host.sh("cd /srv && cp -p docs/linked.html second && ln -f second docs/linked.html && \
             ln -f second docs/third && touch -d '2001-02-03 04:05:06.789' second");
    let before = host.sh(ALL);

    assert_eq!(host.hwctl("provision", &SITE).0, 0);
    let (code, events) = host.hwctl("destroy", &["--yes"]);
    assert_eq!((code, outcome(&events).as_str()), (0, "changed"), "{events:#?}");
    assert_same(&before, &host.sh(ALL), "destroy");
}

fn names_on_another_file_system_are_told_of() {
    let host = &Provisioned::ready("trixie");
    write_pages(host);
    host.sh(
        "mount -t tmpfs none /srv && mkdir /srv/docs && cd /srv/docs && echo mine >linked.html && \
             chmod 0600 linked.html && ln linked.html ../second",
    );

    let (code, events) = host.hwctl("provision", &SITE);
    assert_eq!(code, 0);
    let told = kept_because(&events, "file /srv/docs/linked.html");
    assert!(told.contains("its other name (a hard link) keeps the content of before"), "{told}");
    assert!(told.contains("another file system"), "{told}");
    assert_eq!(host.sh("cat /srv/second"), "mine");

    assert_eq!(host.hwctl("rollback", &["--yes"]).0, 0);
    assert_eq!(
        host.sh("cd /srv/docs && cat linked.html && stat -c '%a %h' linked.html"),
        "mine\n600 1"
    );
}

fn write_pages(host: &Provisioned) {
    let docs = host.folder().join("docs");
    fs::create_dir_all(docs.join("folder")).unwrap();
    let pages =
        ["index", "acl", "attributes", "linked", "capable", "plain", "folder/inner", "link"];
    for page in pages.into_iter().chain(["holes", "new"]) {
        fs::write(docs.join(format!("{page}.html")), "new\n").unwrap();
    }
}

fn kept_because(events: &[Value], id: &str) -> String {
    let kept = events.iter().find(|event| event["event"] == "kept" && event["id"] == id);
    kept.map_or(String::new(), |kept| kept["because"].as_str().unwrap_or_default().to_owned())
}

fn assert_same(before: &str, after: &str, by: &str) {
    let missing: Vec<_> = before.lines().filter(|line| !after.contains(line)).collect();
    let new: Vec<_> = after.lines().filter(|line| !before.contains(line)).collect();
    assert!(before == after, "{by} does not give back {missing:#?}, there is {new:#?}");
}
