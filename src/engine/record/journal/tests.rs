//! The journal on disk: what is pruned, what is read, and what is refused.

use super::*;
use crate::resource::{Action, File};

fn host(root: &Path) -> Host {
    Host::new(root, Box::new(|_| anyhow::bail!("no blobs")), Box::new(|_| ()))
}

fn run(host: &Host, id: &str, began: &str) {
    let path = folder(host).join(id);
    make_private(&path).unwrap();
    let head = Run {
        id: id.to_owned(),
        operator: "me@here".to_owned(),
        from: None,
        verb: "provision".to_owned(),
        version: "1".to_owned(),
        began: began.to_owned(),
        ended: None,
        outcome: RunOutcome::Running,
        why: None,
        changes: Vec::new(),
    };
    write_head(&path, &head).unwrap();
}

#[test]
fn runs_are_pruned_by_count_and_age_but_the_newest_stay() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    for number in 0..60 {
        run(&host, &format!("r{number:02}"), "2026-01-01T00:00:00Z");
    }
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    prune(&folder(&host), at("2026-01-02T00:00:00Z")).unwrap();
    let left = runs(&host, false).unwrap();
    assert_eq!((left.len(), left[0].id.as_str()), (KEPT_RUNS - 1, "r11"));
    prune(&folder(&host), at("2027-01-02T00:00:00Z")).unwrap();
    let left = runs(&host, false).unwrap();
    assert_eq!((left.len(), left[0].id.as_str()), (ALWAYS_KEPT - 1, "r56"));
}

#[test]
fn an_entry_that_was_not_finished_is_no_entry() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    run(&host, "r1", "2026-01-01T00:00:00Z");
    for name in [".hwctl-0123456789abcdef", "reserve.bin"] {
        fs::write(folder(&host).join("r1").join(name), "cut o").unwrap();
    }
    assert_eq!(entries(&host, "r1").unwrap().len(), 0);
    fs::write(folder(&host).join("r1/0000"), "cut o").unwrap();
    assert!(entries(&host, "r1").is_err());
}

fn entry(name: &str) -> Entry {
    let file: Resource = File::text(format!("/{name}"), "x").into();
    let change = Change::new(file.id(), Action::Create);
    let step = Step { tag: String::new(), resource: file, to: None, is_surplus: false };
    let before = step.resource.nothing().unwrap();
    Entry::new(&step, before, change)
}

#[test]
fn entries_that_were_noted_together_and_alone_are_read_in_their_order() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    let info = RunInfo { operator: "me".into(), verb: "x".into(), version: "1".into() };
    let mut journal = Journal::begin(&host, &info, None).unwrap();
    let names: Vec<_> = (0..20_002).map(|number| number.to_string()).collect();

    journal.note_all(vec![entry(&names[0])]).unwrap();
    journal.note_all(names[1..10_000].iter().map(|name| entry(name)).collect()).unwrap();
    journal.note_all(Vec::new()).unwrap();
    // Five digits sort before four.
    journal.note_all(names[10_000..20_001].iter().map(|name| entry(name)).collect()).unwrap();
    journal.note_all(vec![entry(&names[20_001])]).unwrap();

    let read = entries(&host, journal.id()).unwrap();
    let paths = read.iter().map(|entry| entry.resource.path().unwrap().display().to_string());
    assert!(paths.eq(names.iter().map(|name| format!("/{name}"))));
    assert_eq!(fs::read_dir(&journal.folder).unwrap().count(), 6, "four, the head, the reserve");
}

#[test]
fn an_entry_of_an_older_hwctl_is_a_file_of_its_own() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    run(&host, "r1", "2026-01-01T00:00:00Z");
    for (number, name) in ["a", "b"].into_iter().enumerate() {
        let path = folder(&host).join("r1").join(format!("{number:04}"));
        fs::write(path, encode(&entry(name)).unwrap()).unwrap();
    }

    let read = entries(&host, "r1").unwrap();

    let ids: Vec<_> = read.iter().map(|entry| entry.resource.id().to_string()).collect();
    assert_eq!(ids, ["file /a", "file /b"]);
}

#[test]
fn a_run_without_an_end_is_interrupted_or_under_way() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    run(&host, "r1", "2026-01-01T00:00:00Z");
    assert_eq!(runs(&host, false).unwrap()[0].outcome, RunOutcome::Interrupted);
    assert_eq!(runs(&host, true).unwrap()[0].outcome, RunOutcome::Running);
    end_interrupted(&host, "r1").unwrap();
    assert_eq!(runs(&host, true).unwrap()[0].outcome, RunOutcome::Interrupted);
}

/// The head of a run as the host has it.
fn head(host: &Host, id: &str) -> serde_json::Value {
    let bytes = fs::read(head_path(&folder(host).join(id))).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn write_number(host: &Host, id: &str, format: Option<u32>) {
    let mut head = head(host, id);
    let fields = head.as_object_mut().unwrap();
    fields.remove("format").unwrap();
    if let Some(format) = format {
        fields.insert("format".to_owned(), format.into());
    }
    fs::write(head_path(&folder(host).join(id)), head.to_string()).unwrap();
}

#[test]
fn a_run_without_a_number_is_read_and_gets_it_when_it_is_written() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    run(&host, "r1", "2026-01-01T00:00:00Z");
    write_number(&host, "r1", None);

    let read = runs(&host, false).unwrap();
    end_interrupted(&host, "r1").unwrap();

    assert_eq!(read[0].id, "r1");
    assert_eq!(head(&host, "r1")["format"], 1);
    assert_eq!(head(&host, "r1")["verb"], "provision");
}

#[test]
fn a_run_of_a_newer_format_is_refused_whatever_else_its_head_says() {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    run(&host, "r1", "2026-01-01T00:00:00Z");
    write_number(&host, "r1", Some(2));
    run(&host, "r2", "2026-01-01T00:00:00Z");
    fs::write(head_path(&folder(&host).join("r2")), r#"{ "format": 3, "run": "r2" }"#).unwrap();

    for id in ["r1", "r2"] {
        let told = [
            entries(&host, id).unwrap_err().to_string(),
            known_entries(&host, id).unwrap_err().to_string(),
            end_interrupted(&host, id).unwrap_err().to_string(),
        ];

        let path = format!("runs/{id}/run.json` was written by a newer version of hwctl");
        assert!(told.iter().all(|told| told.contains(&path)), "{told:#?}");
    }
    assert!(runs(&host, false).is_err());
    assert_eq!(head(&host, "r1")["format"], 2, "it stays as it is");
}

/// What `run.json` and a file of two entries hold.
fn samples() -> (Vec<u8>, Vec<u8>) {
    let root = tempfile::tempdir().unwrap();
    let host = host(root.path());
    run(&host, "r1", "2026-01-01T00:00:00Z");
    let head = fs::read(head_path(&folder(&host).join("r1"))).unwrap();
    let entries = ["a", "b"].map(|name| ByteBuf::from(encode(&entry(name)).unwrap()));
    (head, encode(&entries).unwrap())
}

proptest::proptest! {
    #[test]
    fn a_damaged_run_is_read_or_refused(
        head in crate::damaged::bytes(&[&samples().0]),
        noted in crate::damaged::bytes(&[&samples().1]),
    ) {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path());
        let path = folder(&host).join("r1");
        make_private(&path).unwrap();
        fs::write(head_path(&path), head).unwrap();
        fs::write(path.join("0000"), noted).unwrap();

        let _ = entries(&host, "r1");
        let _ = runs(&host, false);
        let _ = end_interrupted(&host, "r1");
    }
}
