//! Runs the tests: sets this machine up for them, says which cannot run here, and lists the slowest.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hwctl::lab::Lab;
use hwctl_setup::Tool;
use libtest_mimic::{Arguments, Trial};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

/// Shuffles the tests; its value is the seed.
const SHUFFLE: &str = "HWCTL_TEST_SHUFFLE";
/// How many of the slowest tests are listed.
const LISTED: usize = 10;

/// What the tests themselves run on this machine. What lab hosts need, the lab installs.
const TOOLS: [Tool; 3] = [
    Tool::new("curl", "curl", "is the client of the tests"),
    Tool::new("kill", "procps", "sends signals to hwctl"),
    Tool::new("ssh", "openssh-client", "logs in to hosts"),
];

/// One test.
pub(crate) struct Case {
    /// Its module and function, such as `daily::logs::are_followed`.
    name: &'static str,
    needs: Needs,
    run: fn(),
}

/// What a test needs of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// Programs from `PyPI`.
    Python,
    /// Lab hosts, which need Linux and root.
    Lab,
}

impl Case {
    pub(crate) const fn new(name: &'static str, needs: Needs, run: fn()) -> Self {
        Self { name, needs, run }
    }
}

/// Lists the tests of a module by what they need. One that is left out is dead code, which the
/// compiler reports.
#[macro_export]
macro_rules! tests {
    ($($needs:ident: [$($name:ident),* $(,)?]),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::harness::Case] = &[$($(
            $crate::harness::Case::new(
                concat!(module_path!(), "::", stringify!($name)),
                $crate::harness::Needs::$needs,
                $name,
            ),
        )*)*];
    };
}

/// Whether a signal has told this process to end.
static IS_INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// After this long a test hangs. The longest takes four minutes, and three times as long on a slow machine.
const LONGEST: Duration = Duration::from_mins(25);

/// The tests that run, and since when.
static RUNNING: Mutex<Vec<(Instant, &str)>> = Mutex::new(Vec::new());

/// The seconds that each test took.
static TIMES: Mutex<Vec<(f64, String)>> = Mutex::new(Vec::new());

/// Runs the tests that the command line selects.
pub(crate) fn run(tests: &[&'static [Case]]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert_with(at_once);
    let refusal = Lab::open().err();
    let mut trials = Vec::new();
    let mut unable = 0;
    for case in in_order(tests) {
        let can_run = case.needs != Needs::Lab || refusal.is_none();
        unable += usize::from(!can_run);
        trials.push(trial(case, can_run));
    }
    if let Ok(seed) = std::env::var(SHUFFLE) {
        let seed = seed.parse().unwrap_or_else(|_| panic!("{SHUFFLE}={seed} is no number"));
        trials.shuffle(&mut StdRng::seed_from_u64(seed));
    }
    if !arguments.list {
        if let Some(reason) = refusal {
            eprintln!(
                "{unable} tests are ignored: {reason}. To run them too: \
                 sudo -E env \"PATH=$PATH\" cargo test"
            );
        }
        if let Err(error) = hwctl_setup::ensure(&TOOLS, &say) {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
        take_hosts_down_on_signals();
        end_when_a_test_hangs();
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    while IS_INTERRUPTED.load(Ordering::SeqCst) {
        // The thread that takes the hosts down ends the process.
        std::thread::park();
    }
    report_slowest();
    conclusion.exit_code()
}

/// Reports what the set-up does. The tests of a whole run take minutes, so this is shown at once.
pub(crate) fn say(line: &str) {
    eprintln!("set-up: {line}");
}

/// How many tests run at once: more than there are cores, since tests wait for hosts that boot, for apt and
/// for time-outs. On two cores, four at once leave a tenth of them idle, and five nothing.
fn at_once() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    2 * cores + 1
}

/// The first test on a host makes the base of all hosts, once, and the others on hosts wait for it: what needs
/// no host comes right after it.
fn in_order(tests: &[&'static [Case]]) -> Vec<&'static Case> {
    let all = tests.iter().copied().flatten();
    let (mut on_hosts, others): (Vec<_>, Vec<_>) = all.partition(|case| case.needs == Needs::Lab);
    let rest = on_hosts.split_off(on_hosts.len().min(1));
    on_hosts.into_iter().chain(others).chain(rest).collect()
}

fn trial(case: &'static Case, can_run: bool) -> Trial {
    let name = case.name.split_once("::").map_or(case.name, |(_, name)| name);
    let trial = Trial::test(name, move || {
        let began = Instant::now();
        let running = Running::begin(name);
        (case.run)();
        drop(running);
        let took = began.elapsed().as_secs_f64();
        TIMES.lock().unwrap_or_else(PoisonError::into_inner).push((took, name.to_owned()));
        Ok(())
    });
    trial.with_ignored_flag(!can_run)
}

/// A test that runs, until this is dropped.
struct Running(&'static str);

impl Running {
    fn begin(name: &'static str) -> Self {
        running().push((Instant::now(), name));
        Self(name)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        running().retain(|(_, name)| *name != self.0);
    }
}

fn running() -> MutexGuard<'static, Vec<(Instant, &'static str)>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the tests, and names the one that does not end, rather than wait for it for ever.
fn end_when_a_test_hangs() {
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(Duration::from_secs(5));
            let hangs = running().iter().find(|(began, _)| began.elapsed() > LONGEST).copied();
            if let Some((_, name)) = hangs {
                eprintln!("`{name}` has not ended in {} minutes", LONGEST.as_secs() / 60);
                take_hosts_down();
                std::process::exit(101);
            }
        }
    });
}

/// Prints the slowest tests, and writes the times of all to a file for other programs.
fn report_slowest() {
    let mut times = TIMES.lock().unwrap_or_else(PoisonError::into_inner);
    if times.len() <= 1 {
        return;
    }
    times.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut table = String::new();
    for (seconds, name) in times.iter() {
        let _ = writeln!(table, "{seconds:.1}\t{name}");
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e-times.tsv");
    if let Err(error) = std::fs::write(&file, table) {
        eprintln!("`{}` cannot be written: {error}", file.display());
    }
    println!("slowest tests:");
    for (seconds, name) in times.iter().take(LISTED) {
        println!("{seconds:8.1} s  {name}");
    }
    println!();
}

/// Takes the hosts of this process down when it is told to end, for example with Ctrl-C.
fn take_hosts_down_on_signals() {
    std::thread::spawn(|| {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let code = runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let mut interrupt = signal(SignalKind::interrupt()).expect("a handler of SIGINT");
            let mut terminate = signal(SignalKind::terminate()).expect("a handler of SIGTERM");
            let mut hangup = signal(SignalKind::hangup()).expect("a handler of SIGHUP");
            tokio::select! {
                _ = interrupt.recv() => 130,
                _ = terminate.recv() => 143,
                _ = hangup.recv() => 129,
            }
        });
        eprintln!("interrupted: taking down the hosts of these tests");
        take_hosts_down();
        std::process::exit(code);
    });
}

fn take_hosts_down() {
    IS_INTERRUPTED.store(true, Ordering::SeqCst);
    if let Ok(lab) = Lab::open()
        && let Err(error) = lab.down_own()
    {
        eprintln!("{error:#}");
    }
}
