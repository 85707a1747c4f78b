//! Starts the engine on the host, putting hwctl there first when the host lacks this version.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::connection::{Child, Connection};
use super::kept::state_folder;
use super::packed::{self, Packed};
use super::sending::Sending;
use super::ssh::Target;
use super::sudo::{self, Gate, Progress, READY};
use crate::engine::protocol::{BINARY_FOLDER, BINARY_LINK, CLIENT_GREETING, ENGINE_GREETING};
use crate::failure::{Exit, Failure};
use crate::resource::{file_digest, identity, write_atomic};

/// Where commands and timers name a version themselves, such as those of an earlier hwctl.
const USERS: [&str; 2] = ["/usr/local/bin", "/etc/systemd/system"];
/// What the host says when no program may run where hwctl is put.
const NO_EXEC: &str = "hwctl: no program may run here";
/// How much of the host's complaints is read, in bytes.
pub(super) const MAX_TOLD: usize = 16 << 10;

/// The verb that serves a session.
pub(super) const ENGINE: &str = "engine \"$SSH_CONNECTION\"";
/// The verb, before a run's id, that confirms its risky change: a login of its own works.
pub(super) const CONFIRM: &str = "confirm";

/// The binary to put on hosts, and what it is known by.
#[derive(Debug)]
pub(super) struct Binary {
    source: PathBuf,
    key: String,
    machine: Option<&'static str>,
}

impl Binary {
    /// This program, or the build named by `--host-binary`. Read once for all hosts.
    fn load(named: Option<&Path>) -> Result<Arc<Self>, Failure> {
        static BINARY: Mutex<Option<Arc<Binary>>> = Mutex::new(None);
        let mut loaded = BINARY.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(binary) = &*loaded {
            return Ok(Arc::clone(binary));
        }
        let source = match named {
            Some(path) => path.to_owned(),
            None if cfg!(target_os = "linux") => PathBuf::from("/proc/self/exe"),
            None => {
                return Err(Failure::usage("this build of hwctl does not run on Linux hosts")
                    .hint("give the Linux build with `--host-binary PATH`"));
            }
        };
        let (key, machine) = digest_of(&source)
            .with_context(|| format!("cannot read hwctl's binary `{}`", source.display()))
            .map_err(|error| Failure::from_error(Exit::Usage, &error))?;
        Ok(Arc::clone(loaded.insert(Arc::new(Self { source, key, machine }))))
    }

    /// Its path on the host.
    fn path(&self) -> String {
        format!("{BINARY_FOLDER}/hwctl-{}", &self.key[..16])
    }
}

/// The program for hosts: this one, or the build that `named` is. Gives the machine that it runs on as `uname -m` names it,
/// where that is known.
pub fn host_binary(named: Option<&Path>) -> Result<(PathBuf, Option<&'static str>), Failure> {
    let binary = Binary::load(named)?;
    Ok((binary.source.clone(), binary.machine))
}

/// SHA-256 of a binary in hex, from the last time unless the file is another one since; and the
/// machine that it runs on.
fn digest_of(path: &Path) -> std::io::Result<(String, Option<&'static str>)> {
    let file = std::fs::File::open(path)?;
    let mut head = [0; 20];
    let read = file.read_at(&mut head, 0)?;
    let machine = machine_of(&head[..read]);
    let stamp = identity(&file.metadata()?);
    let note = state_folder().map(|folder| folder.join("binary"));
    let noted = note.as_ref().and_then(|note| std::fs::read_to_string(note).ok());
    let noted = noted.as_deref().zip(stamp.as_ref());
    let noted = noted.and_then(|(noted, stamp)| noted.strip_prefix(stamp)?.strip_prefix('\n'));
    if let Some(key) = noted.filter(|key| key.len() == 64) {
        return Ok((key.to_owned(), machine));
    }
    let key = file_digest(&file)?;
    if let Some((note, stamp)) = note.zip(stamp) {
        let _ = write_atomic(&note, format!("{stamp}\n{key}").as_bytes(), 0o600, None);
    }
    Ok((key, machine))
}

/// The machine that a program runs on, as `uname -m` names it; read from its ELF header.
fn machine_of(bytes: &[u8]) -> Option<&'static str> {
    if !bytes.starts_with(b"\x7fELF") {
        return None;
    }
    // e_machine: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
    match bytes.get(18..20)? {
        [0x3e, 0] => Some("x86_64"),
        [0xb7, 0] => Some("aarch64"),
        [0xf3, 0] => Some("riscv64"),
        _ => None,
    }
}

/// Hashes the binary, which takes a moment: beside the login, and once for all hosts. Packing it begins.
pub(super) async fn prepare(target: &Target) {
    let named = target.host_binary.clone();
    // An error is told to who asks for it next.
    let binary = spawn_blocking(move || Binary::load(named.as_deref())).await;
    if let Ok(Ok(binary)) = binary {
        packed::begin(&binary.source, &binary.key);
    }
}

/// The path of hwctl's binary on hosts.
pub(super) fn host_path(target: &Target) -> Result<PathBuf, Failure> {
    Ok(Binary::load(target.host_binary.as_deref())?.path().into())
}

/// Starts the engine with a `verb`; `tell` hears of the upload when there is one.
pub(super) async fn start(
    connection: &Connection,
    target: &Target,
    verb: &str,
    emit: impl Fn(String, Option<f32>),
) -> Result<Child, Failure> {
    let binary = Binary::load(target.host_binary.as_deref())?;
    let first = try_start(connection, target, &binary, verb);
    let first = match connection.is_old {
        true => timeout(target.connect_timeout, first)
            .await
            .unwrap_or_else(|_| Err(target.unreachable("the connection that was kept is dead"))),
        false => first.await,
    };
    if let Some(child) = first? {
        return Ok(child);
    }
    upload(connection, target, &binary, emit).await?;
    try_start(connection, target, &binary, verb)
        .await?
        .ok_or_else(|| target.unreachable("hwctl is not on the host though it was put there"))
}

/// The script that starts the engine, for the login shell: it holds nothing from the inventory.
/// Who owns `/` is root, which the shell finds out without another process.
fn start_script(target: &Target, path: &str, verb: &str) -> String {
    let root = sudo::words(target).join(" ");
    format!(
        "sh -c 'LC_ALL=C; export LC_ALL; set -- {root}; [ -O / ] && set --; \
         if [ ! -x {path} ]; then echo \"hwctl missing $(uname -s) $(uname -m)\"; exit 0; fi; \
         exec \"$@\" {path} {verb}'"
    )
}

/// Starts the engine if the host has this version of hwctl.
async fn try_start(
    connection: &Connection,
    target: &Target,
    binary: &Binary,
    verb: &str,
) -> Result<Option<Child>, Failure> {
    let mut child = connection.start(target, &start_script(target, &binary.path(), verb)).await?;
    let greeting = format!("{CLIENT_GREETING}\n");
    let mut stdin = child.stdin.take();
    // A sudo that may ask for a password would read the greeting as one.
    let mut is_greeted = target.become_password.is_none();
    if let (Some(stdin), true) = (stdin.as_mut(), is_greeted) {
        // A host that refuses says why on its standard error, which is read below.
        let _ = stdin.write_all(greeting.as_bytes()).await;
    }
    let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(target.unreachable("ssh gives no stream of the host"));
    };
    let (mut line, mut printed) = (String::new(), String::new());
    let mut gate = Gate::new(target);
    let started = loop {
        let mut complaint = [0; 1024];
        tokio::select! {
            biased;
            // Byte by byte: what follows the line belongs to the frames.
            byte = stdout.read_u8() => match byte {
                // A login shell may have printed something without a line break before.
                Ok(b'\n') if line.ends_with(ENGINE_GREETING) => break true,
                Ok(b'\n') => {
                    if let Some((_, machine)) = line.rsplit_once("hwctl missing ") {
                        require_machine(target, binary, machine)?;
                        return Ok(None);
                    }
                    printed.push_str(&line);
                    printed.push('\n');
                    line.clear();
                },
                // Neither a greeting nor a login shell's chatter is that long.
                Ok(_) if printed.len() + line.len() >= MAX_TOLD => break false,
                Ok(byte) => line.push(char::from(byte)),
                Err(_) => break false,
            },
            Ok(read) = stderr.read(&mut complaint), if gate.is_open() => {
                if gate.hear(&complaint[..read], &mut stdin).await == Progress::Wrong {
                    break false;
                }
            }
        }
    };
    if let (Some(stdin), true, false) = (stdin.as_mut(), started, is_greeted) {
        is_greeted = stdin.write_all(greeting.as_bytes()).await.is_ok();
    }
    child.stdin = stdin;
    if started && is_greeted {
        child.stdout = Some(stdout);
        child.stderr = Some(stderr);
        return Ok(Some(child));
    }
    drop(child.stdin.take());
    printed.push_str(&line);
    let told = gate.rest(stderr).await;
    Err(gate.refusal(&told, &printed))
}

fn require_machine(target: &Target, binary: &Binary, told: &str) -> Result<(), Failure> {
    let told = told.trim();
    let wanted = match binary.machine {
        Some(machine) => format!("Linux {machine}"),
        None => "no Linux machine".to_owned(),
    };
    if told == wanted {
        return Ok(());
    }
    let what = format!("`{}` is {told}, this hwctl is built for {wanted}", target.name);
    Err(Failure::new(Exit::Failed, what)
        .not_done("nothing was changed on the host")
        .hint("give the build for the host with `--host-binary PATH`"))
}

/// Puts the binary on the host, compressed on the way: written beside its place, its hash
/// compared, then renamed.
async fn upload(
    connection: &Connection,
    target: &Target,
    binary: &Binary,
    emit: impl Fn(String, Option<f32>),
) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| Failure::new(Exit::Failed, error.to_string());
    let (source, key) = (binary.source.clone(), binary.key.clone());
    let packed = spawn_blocking(move || Packed::of(&source, &key)).await;
    let mut packed = packed.map_err(std::io::Error::other).flatten().map_err(cannot)?;
    let mut child = connection.start(target, &upload_script(target, binary)).await?;
    let mut stdin = child.stdin.take();
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let mut gate = Gate::new(target);
    let is_root = sudo::pass(&mut gate, &mut stdin, stdout.as_mut(), stderr.as_mut()).await;
    if let (Some(mut stdin), true) = (stdin, is_root) {
        let mut sending = Sending::new("putting hwctl on the host", packed.size);
        // A host that cannot take it closes the pipe and says why below.
        let mut going = true;
        while going {
            let piece = packed.piece().await.map_err(cannot)?;
            if piece.is_empty() {
                break;
            }
            going = stdin.write_all(&piece).await.is_ok();
            let (message, fraction) = sending.more(piece.len());
            emit(message, fraction);
        }
        let _ = stdin.shutdown().await;
    }
    let mut done = Vec::new();
    if let (Some(stdout), true) = (stdout, is_root) {
        let _ = stdout.take(MAX_TOLD as u64).read_to_end(&mut done).await;
    }
    let done = String::from_utf8_lossy(&done);
    if done.contains("hwctl uploaded") {
        return Ok(());
    }
    let told = match stderr {
        Some(stderr) => gate.rest(stderr).await,
        None => String::new(),
    };
    if told.contains("gzip: stdin") || told.contains("sha256sum") {
        packed::forget(&binary.key);
    }
    let failure = gate.refusal(&told, &done);
    if failure.why.iter().any(|why| why.contains(NO_EXEC)) {
        let what = format!("no program may run from `{BINARY_FOLDER}` on `{}`", target.name);
        return Err(Failure::new(Exit::Failed, what)
            .why("it is on a file system that is mounted with `noexec`")
            .not_done("nothing was changed on the host")
            .hint(format!(
                "`findmnt -T {BINARY_FOLDER}` on the host names the mount; \
                 `mount -o remount,exec MOUNT` lets programs run from it"
            )));
    }
    if failure.why.iter().any(|why| why.contains("No space left")) {
        let what = format!("there is no room for hwctl on `{}`", target.name);
        return Err(Failure { what, ..failure }
            .hint("free some space on the host (`df -h`, `apt-get clean`) and run again"));
    }
    Err(failure)
}

/// Keeps the two newest other versions, and those that the host's own commands and timers run.
fn upload_script(target: &Target, binary: &Binary) -> String {
    let (path, key) = (binary.path(), &binary.key);
    let [commands, units] = USERS;
    let root = sudo::words(target).join(" ");
    format!(
        "sh -c 'LC_ALL=C; export LC_ALL; set -- {root}; [ \"$(id -u)\" = 0 ] && set --; \
         exec \"$@\" sh -c \"set -e; echo {READY}; umask 022; mkdir -p {BINARY_FOLDER}; t={path}.\\$\\$; \
         trap \\\"rm -f \\$t\\\" EXIT; : > \\$t; chmod 755 \\$t; \
         [ -x \\$t ] || {{ echo {NO_EXEC} >&2; exit 1; }}; gzip -dc > \\$t; \
         echo {key}  \\$t | sha256sum -c --quiet; chmod 755 \\$t; sync \\$t; mv \\$t {path}; \
         cd {BINARY_FOLDER}; \
         used=\\$({{ readlink {commands}/* {BINARY_LINK}; cat {units}/*.service; }} 2>/dev/null \
         | grep -oE \\\"hwctl-[0-9a-f]+\\\" || :); \
         ls -t hwctl-* | grep -vxF \\\"\\$used\\\" | tail -n +4 | xargs -r rm -f; \
         echo hwctl uploaded\"'"
    )
}
