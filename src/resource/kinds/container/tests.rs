//! What a plan says of a container, without a docker.

use super::*;
use crate::resource::model::blob::Blob;
use crate::resource::model::change::Detail;

fn wanted() -> Container {
    Container {
        name: "redis".to_owned(),
        image: "redis:7".to_owned(),
        command: vec!["redis-server".to_owned()],
        user: None,
        mounts: Vec::new(),
        tmpfs: Vec::new(),
        ports: vec![PublishedPort {
            host_address: "127.0.0.1".parse().unwrap(),
            host_port: 6379,
            container_port: 6379,
        }],
        read_only_root: true,
        memory_mib: 128,
        pids: 64,
        healthcheck: None,
        inputs: Vec::new(),
        data: None,
        env: BTreeMap::new(),
        is_launched: false,
        capabilities: Vec::new(),
        networks: Vec::new(),
        variable: None,
        health: None,
        hands_over: false,
    }
}

fn host() -> Host {
    Host::new("/nowhere", Box::new(|_: &Blob| anyhow::bail!("no blobs")), Box::new(|_| {}))
}

fn found(made_as: &Container, host: &Host) -> Found {
    let digest = made_as.wanted_digest(host).unwrap();
    Found {
        status: "running".to_owned(),
        body: serde_json::to_string(&made_as.body(&digest)).unwrap(),
        digest: Some(digest),
        stale_image: None,
        image_id: "sha256:1".to_owned(),
        no_limits: Vec::new(),
        redis: None,
        networks: Some(made_as.networks.clone()),
    }
}

fn diff(found: Found, host: &Host) -> Option<Change> {
    wanted().diff(&ContainerState::Present(Box::new(found)), host).unwrap()
}

fn names(change: &Change) -> Vec<&str> {
    let names = change.details.iter().map(|detail| match detail {
        Detail::Attribute { name, .. } => name.as_str(),
        _ => "",
    });
    names.collect()
}

#[test]
fn a_container_as_it_was_made_is_unchanged() {
    let host = host();
    assert_eq!(diff(found(&wanted(), &host), &host), None);
}

#[test]
fn what_differs_is_named() {
    let host = host();
    let mut other = wanted();
    other.memory_mib = 64;
    other.ports[0].host_port = 7000;
    let change = diff(found(&other, &host), &host).unwrap();
    assert_eq!(change.action, Action::Update);
    assert_eq!(names(&change), ["memory", "port 127.0.0.1:7000", "port 127.0.0.1:6379"]);
    // The kernel has no means for the limit, and docker dropped it.
    let mut dropped = found(&other, &host);
    dropped.no_limits.push("memory".to_owned());
    dropped.body = dropped.body.replace("67108864", "0");
    let change = diff(dropped, &host).unwrap();
    assert_eq!(names(&change), ["port 127.0.0.1:7000", "port 127.0.0.1:6379"]);
}

#[test]
fn each_state_has_its_remedy() {
    let host = host();
    for (status, action) in [
        ("exited", Action::Start),
        ("paused", Action::Start),
        ("unhealthy", Action::Restart),
        ("dead", Action::Update),
    ] {
        let mut found = found(&wanted(), &host);
        status.clone_into(&mut found.status);
        let change = diff(found, &host).unwrap();
        assert_eq!((change.action, names(&change)), (action, vec!["state"]));
    }
    let mut moved = found(&wanted(), &host);
    moved.stale_image = Some(("sha256:1".to_owned(), "sha256:2".to_owned()));
    assert_eq!(names(&diff(moved, &host).unwrap()), ["image id"]);
}

#[test]
fn a_container_of_others_shows_nothing_that_may_be_secret() {
    let host = host();
    let mut other = wanted();
    other.command = vec!["redis-server".to_owned(), "planted".to_owned()];
    let mut theirs = found(&other, &host);
    theirs.digest = None;
    assert!(!format!("{theirs:?}").contains("planted"));
    let error = wanted().require_own(&ContainerState::Present(Box::new(theirs.clone())));
    let error = format!("{:#}", error.unwrap_err());
    assert!(error.contains("that hwctl has not made") && !error.contains("planted"), "{error}");
    let change = diff(theirs, &host).unwrap();
    assert!(!format!("{change:?}").contains("planted"));
    assert!(change.because.unwrap().contains("not made by hwctl"));
}

#[test]
fn an_input_that_is_not_known_means_a_new_container() {
    let host = host();
    let mut wanted = wanted();
    let found = found(&wanted, &host);
    wanted.inputs = vec![Id::new("file", "/etc/x")];
    let change = wanted.diff(&ContainerState::Present(Box::new(found)), &host).unwrap().unwrap();
    assert_eq!(change.because.as_deref(), Some("its configuration is not known yet"));
}

#[test]
fn a_user_of_the_host_with_the_containers_number_is_named() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("etc")).unwrap();
    let users = "root:x:0:0::/root:/bin/sh\nbob:x:999:999::/home/bob:/bin/sh\n";
    std::fs::write(root.path().join("etc/passwd"), users).unwrap();
    let host = Host::new(root.path(), Box::new(|_| anyhow::bail!("no blobs")), Box::new(|_| {}));
    let run_as = |user: &str| Container { user: Some(user.to_owned()), ..wanted() };

    assert_eq!(wanted().namesake(&host), None);
    assert_eq!(run_as("998:1000").namesake(&host), None);
    let told = run_as("999:1000").namesake(&host).unwrap();
    assert!(told.contains("user 999") && told.contains("`bob`"), "{told}");
}

#[test]
fn a_container_like_those_of_before_has_the_digest_of_before() {
    let json = serde_json::to_string(&wanted()).unwrap();

    for name in ["env", "is_launched", "capabilities", "networks", "variable"] {
        assert!(!json.contains(name), "{name} is in {json}");
    }
    let named = Container { variable: Some("containers.db".to_owned()), ..wanted() };
    assert_eq!(named.wanted_digest(&host()), wanted().wanted_digest(&host()));
}

#[test]
fn an_environment_and_capabilities_are_compared() {
    let host = host();
    let mut with_env = wanted();
    with_env.env = [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "x=y z".to_owned())].into();
    with_env.capabilities = vec!["CHOWN".to_owned(), "SETUID".to_owned()];
    with_env.networks = vec!["shop".to_owned()];
    let diff = |container: &Container, found: Found| {
        container.diff(&ContainerState::Present(Box::new(found)), &host).unwrap()
    };

    let mut as_made = found(&with_env, &host);
    as_made.body = as_made.body.replace(r#"["CHOWN","SETUID"]"#, r#"["CAP_SETUID","CAP_CHOWN"]"#);
    assert_eq!(diff(&with_env, as_made), None);
    let before = found(&with_env, &host);
    with_env.env.insert("A".to_owned(), "2".to_owned());
    assert_eq!(names(&diff(&with_env, before).unwrap()), ["env A"]);
    let without = found(&with_env, &host);
    let change = diff(&wanted(), without).unwrap();
    assert_eq!(names(&change), ["added capabilities", "networks"]);
}
