//! Whole trees of pages: many at once, pages that become folders and back, folders on the way.

use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use crate::host::{Provisioned, action, changes, failure, runs};

crate::tests! {
    Lab: [many_pages_come_and_go_together, a_page_becomes_a_folder_and_back, the_way_to_a_root_is_made_for_all_and_goes_again, a_run_that_dies_among_many_pages_is_finished, a_folder_is_looked_at_again_once_anything_of_it_changes],
}

const SITE: [&str; 2] = ["--set", "sites.docs={path: /docs, root: /srv/way/to/docs, source: docs}"];
const ROOT: &str = "/srv/way/to/docs";

fn write(host: &Provisioned, name: &str, text: &str) {
    let path = host.folder().join("docs").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn clear(host: &Provisioned) {
    let _ = fs::remove_dir_all(host.folder().join("docs"));
    write(host, "index.html", "index\n");
}

/// Pages of text and pictures, in folders.
fn write_many(host: &Provisioned, count: usize) {
    for number in 0..count {
        let name = format!("{}/{number}.html", number / 100);
        match number % 4 {
            0 => {
                let path = host.folder().join("docs").join(format!("{name}.png"));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, [&[0xff, 0xfe], number.to_string().as_bytes()].concat()).unwrap();
            }
            _ => write(host, &name, &format!("page {number}\n")),
        }
    }
}

fn ok(host: &Provisioned, verb: &str, args: &[&str]) -> Vec<serde_json::Value> {
    let (code, events) = host.hwctl(verb, args);
    assert_eq!(code, 0, "{verb}: {events:#?}");
    events
}

fn page(host: &Provisioned, path: &str) -> String {
    Provisioned::curl(&[&host.url(path)])
}

fn many_pages_come_and_go_together() {
    let host = &Provisioned::ready("trixie");
    let count = 3000;
    clear(host);
    write_many(host, count);

    ok(host, "provision", &SITE);
    assert_eq!(host.sh(&format!("find {ROOT} -type f | wc -l")), (count + 1).to_string());
    assert!(page(host, "/docs/12/1232.html.png").ends_with("1232"), "a picture is served");
    assert_eq!(page(host, "/docs/12/1233.html"), "page 1233\n");
    // Noted before they were made, and not one by one.
    let noted = host.sh("ls /var/lib/hwctl/runs/$(ls /var/lib/hwctl/runs | tail -n 1) | wc -l");
    assert!(noted.parse::<usize>().unwrap() < 60, "{noted} files in the journal");
    let (_, events) = host.hwctl("history", &[]);
    assert!(runs(&events)[0].2 > count, "each change is in the history");
    assert_eq!(host.hwctl("plan", &SITE).0, 0);

    ok(host, "rollback", &["--yes"]);
    assert!(!host.sh_ok("test -e /srv/way"), "it was not there before");
    ok(host, "rollback", &["--yes"]);
    assert_eq!(host.sh(&format!("find {ROOT} -type f | wc -l")), (count + 1).to_string());
    assert_eq!(host.hwctl("plan", &SITE).0, 0, "all is as it was, also modes and owners");

    clear(host);
    ok(host, "provision", &SITE);
    assert_eq!(host.sh(&format!("cd {ROOT} && find . | sort")), ".\n./index.html");
}

fn a_page_becomes_a_folder_and_back() {
    let host = &Provisioned::ready("trixie");
    let here = |path: &str| format!("{ROOT}/{path}");
    clear(host);
    write(host, "about", "a page\n");
    ok(host, "provision", &SITE);

    clear(host);
    write(host, "about/index.html", "in a folder\n");
    let (code, events) = host.hwctl("plan", &SITE);
    assert_eq!(code, 3);
    let planned = changes(&events);
    let at = |id: String| planned.iter().position(|planned| **planned == id);
    let (removed, made) =
        (at(format!("file {}", here("about"))), at(format!("directory {}", here("about"))));
    assert!(removed.is_some() && removed < made, "{planned:#?}");
    ok(host, "provision", &SITE);
    assert_eq!(page(host, "/docs/about/"), "in a folder\n");
    assert_eq!(host.hwctl("plan", &SITE).0, 0);

    ok(host, "rollback", &["--yes"]);
    assert_eq!(page(host, "/docs/about"), "a page\n");
    ok(host, "provision", &SITE);

    // And back, while the folder has something of somebody else: refused, and named.
    host.sh(&format!("echo mine > {}", here("about/mine")));
    clear(host);
    write(host, "about", "a page again\n");
    let (code, events) = host.hwctl("provision", &SITE);
    assert_eq!(code, 1, "{events:#?}");
    assert!(failure(&events).contains("mine"), "{}", failure(&events));
    assert_eq!(page(host, "/docs/about/"), "in a folder\n");
    host.sh(&format!("rm {}", here("about/mine")));

    // A run that fails in the end leaves the folder.
    host.break_at_the_end();
    assert_eq!(host.hwctl("provision", &SITE).0, 4);
    assert_eq!(page(host, "/docs/about/"), "in a folder\n");
    host.mend();

    let (_, events) = host.hwctl("plan", &SITE);
    assert_eq!(action(&events, &format!("directory {}", here("about"))), "remove");
    ok(host, "provision", &SITE);
    assert_eq!(page(host, "/docs/about"), "a page again\n");
    assert_eq!(host.hwctl("plan", &SITE).0, 0);

    // What was there before hwctl comes back in the end, though a folder took its place.
    host.sh("mkdir -p /srv/own && echo theirs > /srv/own/about && chmod 0604 /srv/own/about");
    let own = ["--set", "sites.docs={path: /docs, root: /srv/own, source: docs}"];
    ok(host, "provision", &own);
    clear(host);
    write(host, "about/index.html", "in a folder\n");
    ok(host, "provision", &own);
    assert_eq!(page(host, "/docs/about/"), "in a folder\n");
    ok(host, "destroy", &["--yes"]);
    assert_eq!(
        host.sh("cd /srv && find . -type f && cat own/about && stat -c %a own/about"),
        "./own/about\ntheirs\n604"
    );
}

fn the_way_to_a_root_is_made_for_all_and_goes_again() {
    let host = &Provisioned::ready("trixie");
    host.sh("echo 'Defaults umask=0077, umask_override' > /etc/sudoers.d/umask && \
             sed -i 's/^UMASK.*/UMASK 077/' /etc/login.defs && \
             for home in /root /home/ubuntu; do sed -i '1i umask 077' $home/.bashrc; echo 'umask 077' >> $home/.profile; done");
    clear(host);

    ok(host, "provision", &SITE);
    assert_eq!(page(host, "/docs/"), "index\n");
    assert_eq!(
        host.sh("stat -c '%a %U' /srv/way /srv/way/to /srv/way/to/docs"),
        "755 root\n755 root\n755 root"
    );
    assert_eq!(host.hwctl("plan", &SITE).0, 0);
    ok(host, "rollback", &["--yes"]);
    assert!(!host.sh_ok("test -e /srv/way"));

    host.break_at_the_end();
    assert_eq!(host.hwctl("provision", &SITE).0, 4);
    assert!(!host.sh_ok("test -e /srv/way"), "a run that is undone leaves nothing");
    host.mend();

    ok(host, "provision", &SITE);
    // Another root: the way to the old one goes with it.
    let moved = ["--set", "sites.docs={path: /docs, root: /srv/way/elsewhere, source: docs}"];
    ok(host, "provision", &moved);
    assert_eq!(host.sh("cd /srv && find . -type d | sort"), ".\n./way\n./way/elsewhere");
    host.sh("mkdir /srv/way/own");
    ok(host, "destroy", &["--yes"]);
    assert_eq!(
        host.sh("cd /srv && find . -type d | sort"),
        ".\n./way\n./way/own",
        "it is somebody's own"
    );
}

/// Whether the host asks for the files of the folder in a run, and what the run changes.
fn seen(host: &Provisioned) -> (bool, Vec<String>) {
    let events = ok(host, "provision", &[&SITE[..], &["-v"]].concat());
    let asks = format!("{events:?}").contains("asks for the files of 1 folder");
    (asks, changes(&events).into_iter().map(str::to_owned).collect())
}

fn a_folder_is_looked_at_again_once_anything_of_it_changes() {
    let host = &Provisioned::ready("trixie");
    clear(host);
    write_many(host, 300);
    ok(host, "provision", &SITE);
    let settle = || {
        // A file that was written a moment ago may be written to again with the same times.
        sleep(Duration::from_secs(4));
        assert_eq!(seen(host), (true, vec![]), "it has changed since the last run");
        assert_eq!(seen(host), (false, vec![]), "nothing of it has changed");
    };
    settle();

    let page = format!("{ROOT}/1/101.html");
    for by_hand in [
        // With the size and the time of before.
        format!(
            "touch -r {page} /root/t && printf PAGE | dd of={page} conv=notrunc && touch -r /root/t {page}"
        ),
        format!("chmod 600 {page}"),
        format!("rm {page}"),
        format!("setfacl -m u:www-data:rw {page} 2>/dev/null || chown www-data {page}"),
    ] {
        host.sh(&by_hand);
        assert_eq!(seen(host), (true, vec![format!("file {page}")]), "{by_hand}");
        settle();
    }
    host.sh(&format!("touch {ROOT}/1/mine"));
    assert_eq!(seen(host), (true, vec![]), "a file of somebody else stays");

    let local = host.folder().join("docs/1/102.html");
    let modified = fs::metadata(&local).unwrap().modified().unwrap();
    fs::write(&local, "PAGE 102\n").unwrap();
    fs::File::options().write(true).open(&local).unwrap().set_modified(modified).unwrap();
    assert_eq!(seen(host), (true, vec![format!("file {ROOT}/1/102.html")]));
    settle();
    fs::remove_file(&local).unwrap();
    assert_eq!(seen(host), (true, vec![format!("file {ROOT}/1/102.html")]));
    settle();

    // What is declared in it by two is refused, also where its files are not looked at.
    let twice = format!("files.{ROOT}/index.html={{ content: x }}");
    let (code, events) = host.hwctl("provision", &[&SITE[..], &["--set", &twice]].concat());
    assert_eq!(code, 2, "{events:#?}");
    // The other parts are brought up to date beside it, and it goes as a whole.
    let (code, events) =
        host.hwctl("provision", &[&SITE[..], &["--set", "api.workers=2"]].concat());
    assert_eq!(code, 0, "{events:#?}");
    assert!(!changes(&events).iter().any(|id| id.contains(ROOT)), "{events:#?}");
    ok(host, "rollback", &["--yes"]);
    host.sh(&format!("rm {ROOT}/1/mine"));
    ok(host, "provision", &[]);
    assert!(!host.sh_ok("test -e /srv/way"), "it goes with the inventory");
}

/// Killed while it writes pages: the next run goes on, and what was begun leaves nothing behind.
fn a_run_that_dies_among_many_pages_is_finished() {
    let host = &Provisioned::ready("trixie");
    clear(host);
    write_many(host, 3000);
    // On the host itself, where it takes no time.
    host.sh(&format!(
        "systemd-run --quiet sh -c 'until test -e {ROOT}/3; do sleep 0.005; done; \
         pkill -9 -f \"hwctl-[0-9a-f]* engine\"'"
    ));
    let mut command = host.command("provision", &SITE);
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert_ne!(run.wait().unwrap().code(), Some(0));
    let written = host.sh(&format!("find {ROOT} -type f -name '*.html*' | wc -l"));
    assert!(written.parse::<usize>().unwrap() < 3001, "it was killed too late");

    ok(host, "provision", &SITE);
    assert_eq!(host.sh(&format!("find {ROOT} -type f | wc -l")), "3001");
    assert_eq!(host.sh(&format!("find {ROOT} -name '.hwctl-*'")), "");
    let (_, events) = host.hwctl("history", &[]);
    let cut = runs(&events).iter().position(|(_, outcome, _)| outcome == "interrupted").unwrap();
    let history = events.iter().find(|event| event["event"] == "history").unwrap();
    let cut = history["runs"][cut]["id"].as_str().unwrap();
    ok(host, "rollback", &[cut, "--yes"]);
    assert!(!host.sh_ok("test -e /srv/way"), "all that the two runs made is gone");
}
