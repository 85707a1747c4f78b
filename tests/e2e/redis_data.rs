//! The data of a Redis that somebody else made: taken over with the container's place, and given back.

use crate::host::{Provisioned, changes, failure};

crate::tests! {
    Lab: [
        a_copy_in_the_same_volume_is_taken_over_and_given_back,
        a_log_in_the_same_volume_is_taken_over_and_given_back,
        data_in_a_folder_behind_a_password_is_taken_over_and_given_back,
        a_volume_without_a_container_is_taken_over,
        a_redis_that_lets_nobody_look_is_refused_in_the_plan,
        a_run_that_fails_leaves_the_data_as_it_was,
        a_trial_shares_nothing_that_it_could_write_to,
    ],
}

/// Puts another's container in the place of hwctl's, with data that hwctl knows nothing of.
fn replaced_by(run: &str, redis_cli: &str) -> Provisioned {
    let host = Provisioned::ready("trixie");
    host.sh(&format!(
        "docker rm -f redis-flask && docker volume rm flask-app_redis-data && rm -rf /var/lib/hwctl/runs/* /var/lib/hwctl/manifest* &&
         docker run -d --name redis-flask --restart unless-stopped {run} >/dev/null &&
         for i in $(seq 50); do {redis_cli} PING | grep -q PONG && break; sleep 0.1; done &&
         {redis_cli} SET visits 43 && {redis_cli} SET mine one && {redis_cli} -n 3 SET other two"
    ));
    host
}

fn ours(host: &Provisioned, command: &str) -> String {
    let password = "$(cat /var/lib/hwctl/secrets/redis-password)";
    host.sh(&format!("docker exec -e REDISCLI_AUTH={password} redis-flask redis-cli {command}"))
}

/// Provisions: the count goes on, and nothing of the others is lost. Then takes it back.
fn goes_there_and_back(host: &Provisioned, redis_cli: &str) {
    let before = host.sh("docker inspect -f '{{.Config.Cmd}} {{.HostConfig.Binds}}' redis-flask");
    let (code, events) = host.hwctl("provision", &[]);
    assert_eq!(code, 0, "{events:#?}");
    assert!(changes(&events).contains(&"container redis-flask"), "{events:#?}");
    assert_eq!(host.count_visit(), 44);
    assert_eq!(ours(host, "GET mine"), "one");
    assert_eq!(ours(host, "-n 3 GET other"), "two");
    assert_eq!(host.hwctl("plan", &[]).0, 0);

    let (code, events) = host.hwctl("rollback", &["--yes"]);
    assert_eq!(code, 0, "{events:#?}");

    let after = host.sh("docker inspect -f '{{.Config.Cmd}} {{.HostConfig.Binds}}' redis-flask");
    assert_eq!(after, before, "another container came back");
    assert_eq!(host.sh(&format!("{redis_cli} GET visits")), "44", "what was counted meanwhile");
    assert_eq!(host.sh(&format!("{redis_cli} -n 3 GET other")), "two");
}

const VOLUME: &str = "-v flask-app_redis-data:/data -p 127.0.0.1:6379:6379 redis:7-alpine";
const CLI: &str = "docker exec redis-flask redis-cli";

fn a_copy_in_the_same_volume_is_taken_over_and_given_back() {
    let run = format!("{VOLUME} redis-server --protected-mode no --save 60 1");
    let host = replaced_by(&run, CLI);

    goes_there_and_back(&host, CLI);

    let data = "$(docker volume inspect -f '{{.Mountpoint}}' flask-app_redis-data)";
    assert_eq!(host.sh(&format!("ls {data}")), "dump.rdb");
}

fn a_log_in_the_same_volume_is_taken_over_and_given_back() {
    let run = format!("{VOLUME} redis-server --protected-mode no --appendonly yes");
    let host = replaced_by(&run, CLI);

    goes_there_and_back(&host, CLI);
}

fn data_in_a_folder_behind_a_password_is_taken_over_and_given_back() {
    let run = "-v /srv/redis:/data -p 127.0.0.1:6379:6379 redis:7-alpine \
               redis-server --requirepass hunter22 --save 60 1 --dbfilename mine.rdb";
    let cli = "docker exec -e REDISCLI_AUTH=hunter22 redis-flask redis-cli";
    let host = replaced_by(run, cli);

    goes_there_and_back(&host, cli);

    assert_eq!(host.sh("ls /srv/redis"), "mine.rdb");
}

fn a_volume_without_a_container_is_taken_over() {
    let run = format!("{VOLUME} redis-server --protected-mode no --save 60 1");
    let host = replaced_by(&run, CLI);
    host.sh("docker stop redis-flask && docker rm redis-flask");

    let (code, events) = host.hwctl("provision", &[]);

    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(host.count_visit(), 44);
    assert_eq!(ours(&host, "-n 3 GET other"), "two");
}

fn a_redis_that_lets_nobody_look_is_refused_in_the_plan() {
    let run = format!("{VOLUME} redis-server --protected-mode no");
    let host = replaced_by(&run, CLI);
    host.sh(&format!("{CLI} CONFIG SET requirepass another"));

    let (code, events) = host.hwctl("plan", &[]);

    assert_eq!(code, 1, "{events:#?}");
    let told = failure(&events);
    assert!(told.contains("does not let hwctl look") && told.contains("redis.container"), "{told}");
    assert!(host.sh_ok("docker inspect redis-flask"));
}

fn a_run_that_fails_leaves_the_data_as_it_was() {
    let run = format!("{VOLUME} redis-server --protected-mode no --save 60 1");
    let host = replaced_by(&run, CLI);
    let templates = host.folder().join("templates/systemd");
    std::fs::create_dir_all(&templates).unwrap();
    let own = include_str!("../../templates/systemd/flask-app.service");
    let broken = own.replace("ExecStart={{ binary | systemd }}", "ExecStart=/bin/false");
    std::fs::write(templates.join("flask-app.service"), broken).unwrap();

    let (code, events) = host.hwctl("provision", &[]);

    assert_eq!(code, 4, "{events:#?}");
    assert_eq!(host.sh(&format!("{CLI} GET visits")), "43");
    assert_eq!(host.sh(&format!("{CLI} -n 3 GET other")), "two");
    let data = "$(docker volume inspect -f '{{.Mountpoint}}' flask-app_redis-data)";
    assert_eq!(host.sh(&format!("ls {data}")), "dump.rdb");
}

/// While a new container is tried, and after a trial that fails, the socket leads to the data.
fn a_trial_shares_nothing_that_it_could_write_to() {
    let host = Provisioned::ready("trixie");
    ours(&host, "SET visits 5");
    let socket = "stat -c '%i %a %u:%g' /var/lib/redis-flask/redis.sock";
    let before = host.sh(socket);
    let templates = host.folder().join("templates/redis");
    std::fs::create_dir_all(&templates).unwrap();
    let own = include_str!("../../templates/redis/redis.conf");
    // It opens its socket first and then finds that it cannot have its data.
    let broken = own.replace("dir /data", "dir /run/redis\nappenddirname ../../nowhere");
    std::fs::write(templates.join("redis.conf"), broken).unwrap();

    assert_eq!(host.hwctl("provision", &[]).0, 4);
    assert_eq!(host.sh(socket), before, "the trial took the socket");
    std::fs::write(templates.join("redis.conf"), own.replace("maxclients 512", "maxclients 500"))
        .unwrap();
    host.sh("systemd-run --unit look sh -c 'while :; do stat -c %i /var/lib/redis-flask/redis.sock; done >/root/seen 2>&1' 2>/dev/null");
    assert_eq!(host.hwctl("provision", &[]).0, 0);
    host.sh("systemctl stop look");

    let seen = host.sh("uniq /root/seen");
    let after = host.sh("stat -c %i /var/lib/redis-flask/redis.sock");
    let inodes: Vec<_> = seen.lines().filter(|line| !line.contains("No such file")).collect();
    let first = before.split(' ').next().unwrap();
    assert_eq!(inodes.first(), Some(&first), "{seen}");
    assert!(inodes.iter().all(|inode| [first, &after].contains(inode)), "{seen}");
    assert_eq!(host.count_visit(), 6);
}
