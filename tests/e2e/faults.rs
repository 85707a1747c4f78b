//! Runs that are cut off at a random point, on fresh and on provisioned hosts: one more run always
//! reaches the whole stack, and nothing of before is lost.
//!
//! `HWCTL_FAULT_RUNS` says how many of each kind (2 unless said), `HWCTL_FAULT_SEED` repeats a
//! sequence.

use std::io::{BufRead as _, BufReader};
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::host::{self, Provisioned, changes, fields};

crate::tests! {
    Lab: [
        runs_whose_operator_is_killed_are_finished_by_the_next,
        runs_whose_engine_is_killed_are_finished_by_the_next,
        runs_whose_network_is_cut_are_finished_by_the_next,
        runs_whose_host_loses_power_are_finished_by_the_next,
    ],
}

/// What a run is asked for in turn on a provisioned host: each kind of resource changes.
const VARIANTS: [&[&str]; 2] = [
    &["--host", "vm"],
    &[
        "--host",
        "vm",
        "--set",
        "redis.port=6380",
        "--set",
        "api.token_ttl=1800",
        "--set",
        "firewall.allow=[80/tcp, 443/tcp, 8088/tcp]",
        "--set",
        "sites.site1.allow=[127.0.0.1]",
        "--set",
        "logrotate.keep=7",
    ],
];
/// How many runs a host lives through before a fresh one takes its place.
const RUNS_PER_HOST: u64 = 5;

#[derive(Clone, Copy, Debug)]
enum Fault {
    KillHwctl,
    KillEngine,
    CutNetwork,
    PowerOff,
}

/// The generator `SplitMix64`: <https://prng.di.unimi.it/splitmix64.c>
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Waits for a random point of a run: a while after one of its changes has begun.
fn wait_for_a_point(child: &mut Child, fresh: bool, random: &mut Random) {
    let begun = random.below(if fresh { 40 } else { 8 });
    // The first change of a fresh host takes most of its time: apt.
    let most = if fresh && begun == 0 { 10_000 } else { 400 };
    let after = Duration::from_millis(random.below(most));
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    let mut seen = 0;
    while seen <= begun && output.read_line(&mut line).unwrap() > 0 {
        seen += u64::from(line.contains("\"change_started\""));
        line.clear();
    }
    // Nobody reads on: what hwctl still says has to fit into the pipe, and does.
    child.stdout = Some(output.into_inner());
    sleep(after);
}

fn inject(fault: Fault, host: &Provisioned, child: &mut Child) {
    match fault {
        Fault::KillHwctl => child.kill().unwrap(),
        Fault::KillEngine => {
            host.sh_ok("pkill -9 -f 'hwctl-[0-9a-f]* engine'");
        }
        Fault::CutNetwork => {
            host.host.cut_network().unwrap();
            sleep(Duration::from_secs(1));
            child.kill().unwrap();
            host.host.restore_network().unwrap();
        }
        Fault::PowerOff => {
            host.host.power_off_hard().unwrap();
            let _ = child.kill();
            host.host.boot().unwrap();
        }
    }
}

/// What may not be lost: the host's own secrets and the number of visits.
struct Kept {
    secrets: String,
    visits: u64,
}

/// A token of the API; logins are limited, so one is asked for once a host.
fn log_in(host: &Provisioned) -> String {
    let login = format!("{{\"username\":\"admin\",\"password\":\"{}api\"}}", host::MARK);
    let header = "Content-Type: application/json";
    fields(
        &Provisioned::curl(&["-H", header, "-d", &login, &host.url("/flask/auth/login")]),
        "token",
    )
}

fn kept(host: &Provisioned, token: &str) -> Kept {
    let secrets = host.sh("cat /var/lib/hwctl/secrets/* /etc/nginx/ssl/homework.key | sha256sum");
    let bearer = format!("Authorization: Bearer {token}");
    let counted = Provisioned::curl(&["-H", &bearer, &host.url("/flask/api/count")]);
    let counted: serde_json::Value = serde_json::from_str(&counted).expect(&counted);
    Kept { secrets, visits: counted["visits"].as_u64().expect("a number of visits") }
}

/// One run that is cut off, and the one that mends it. Whether it was under way when it was cut.
fn one(
    host: &Provisioned,
    token: &mut Option<String>,
    fault: Fault,
    args: &[&str],
    random: &mut Random,
) -> bool {
    let fresh = host.is_untouched();
    let before = token.as_ref().map(|token| kept(host, token));
    let mut child = host.command("provision", args).spawn().unwrap();
    wait_for_a_point(&mut child, fresh, random);
    let under_way = child.try_wait().unwrap().is_none();
    inject(fault, host, &mut child);
    child.wait().unwrap();

    let nginx = "if pgrep -x nginx >/dev/null; then nginx -t -q; fi";
    assert!(host.sh_ok(nginx), "nginx runs with a configuration that does not parse");
    let (code, events) = host.hwctl("provision", args);
    assert_eq!(code, 0, "{events:#?}");
    let (code, events) = host.hwctl("plan", args);
    assert_eq!((code, changes(&events)), (0, vec![]));
    let left = host.sh("find / -xdev -name '.hwctl-*' -not -path '/proc/*'; ls -d /run/hwctl-* \
                        /run/systemd/system/hwctl-* /run/systemd/system/*.d/hwctl-* 2>/dev/null; \
                        docker ps -a --format '{{.Names}}' --filter name=hwctl-");
    assert_eq!(left, "", "what was never finished is left behind");
    let now = kept(host, token.get_or_insert_with(|| log_in(host)));
    if let Some(before) = before {
        assert_eq!(now.secrets, before.secrets, "a secret was made twice");
        assert!(now.visits > before.visits, "visits are lost");
    }
    under_way
}

pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect(name))
}

/// What random sequences begin with. It is printed, so that a run can be repeated.
fn seed() -> u64 {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = number("HWCTL_FAULT_SEED").unwrap_or(clock.as_secs());
    println!("HWCTL_FAULT_SEED={seed}");
    seed
}

/// Cuts runs off until so many were under way: the first on a fresh host, the others on a host that
/// serves, and a fresh one again after some runs.
fn are_finished_by_the_next(fault: Fault) {
    let wanted = number("HWCTL_FAULT_RUNS").unwrap_or(2);
    let mut random = Random(seed());
    let mut host = None;
    let (mut run, mut cut) = (0, 0);
    while cut < wanted {
        assert!(run < 4 * wanted, "most runs have to be under way when they are cut off");
        if run % RUNS_PER_HOST == 0 {
            host = None;
        }
        let (host, token) = host.get_or_insert_with(|| (Provisioned::fresh("trixie"), None));
        let fresh = host.is_untouched();
        let start = Instant::now();
        let under_way = one(host, token, fault, VARIANTS[usize::from(run % 2 == 1)], &mut random);
        let seconds = start.elapsed().as_secs();
        println!("run {run}: {fault:?}, fresh: {fresh}, cut off: {under_way}, {seconds} s");
        run += 1;
        cut += u64::from(under_way);
    }
}

fn runs_whose_operator_is_killed_are_finished_by_the_next() {
    are_finished_by_the_next(Fault::KillHwctl);
}

fn runs_whose_engine_is_killed_are_finished_by_the_next() {
    are_finished_by_the_next(Fault::KillEngine);
}

fn runs_whose_network_is_cut_are_finished_by_the_next() {
    are_finished_by_the_next(Fault::CutNetwork);
}

fn runs_whose_host_loses_power_are_finished_by_the_next() {
    are_finished_by_the_next(Fault::PowerOff);
}
