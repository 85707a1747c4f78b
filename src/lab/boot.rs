//! Starts the systemd of a host, and ends it as a power cut does.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::command::finish;
use super::network::{MACHINE_LOCK, Network};
use super::state::{HostDir, make_dir, write};

const SCRIPT: &str = include_str!("boot.sh");
/// Folders that cannot lie on an overlay: Docker makes overlays in them.
pub(super) const PLAIN_DIRS: [&str; 2] = ["docker", "containerd"];

/// Boots the host. Its processes belong to nobody: they stay when this one ends.
pub(super) fn start(dir: &HostDir, network: &Network) -> Result<()> {
    let script = SCRIPT
        .replace("@CGROUPS@", &words(&cgroups(dir)))
        .replace("@LOCK@", MACHINE_LOCK)
        .replace("@LINK@", &network.link())
        .replace("@NAMESPACE@", &network.namespace())
        .replace("@WIRING@", &network.wiring().join("\n        "));
    write(&dir.boot_script(), &script)?;
    let console = File::options()
        .append(true)
        .create(true)
        .open(dir.console())
        .with_context(|| format!("open `{}`", dir.console().display()))?;
    let mut command = Command::new("setsid");
    command.arg("--fork").arg("sh").arg(dir.boot_script());
    command.args(nspawn_arguments(dir, network)?);
    command.stdin(Stdio::null()).stdout(console.try_clone()?).stderr(console);
    let status = command.status().with_context(|| format!("boot `{}`", dir.name()))?;
    if !status.success() {
        bail!("boot `{}`: `setsid` ends with {status}", dir.name());
    }
    Ok(())
}

fn nspawn_arguments(dir: &HostDir, network: &Network) -> Result<Vec<String>> {
    let mut args = vec![
        "--boot".to_owned(),
        directory_argument(dir),
        format!("--machine={}", dir.name()),
        format!("--network-namespace-path=/run/netns/{}", network.namespace()),
        "--register=no".to_owned(),
        "--keep-unit".to_owned(),
        "--resolv-conf=off".to_owned(),
        "--timezone=off".to_owned(),
        "--link-journal=no".to_owned(),
        "--capability=all".to_owned(),
        "--system-call-filter=add_key keyctl bpf".to_owned(),
    ];
    for name in PLAIN_DIRS {
        let plain = dir.0.join(name);
        make_dir(&plain)?;
        args.push(format!("--bind={}:/var/lib/{name}", plain.display()));
    }
    Ok(args)
}

/// The argument that tells this host's processes from all others of this machine.
fn directory_argument(dir: &HostDir) -> String {
    format!("--directory={}", dir.root().display())
}

fn words(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
}

/// The host's own cgroups: one in each hierarchy that systemd uses.
fn cgroups(dir: &HostDir) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (place, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
            let is_systemds = kind == "cgroup2" || options.split(',').any(|o| o == "name=systemd");
            (kind.starts_with("cgroup") && is_systemds)
                .then(|| Path::new(place).join("hwctl-lab").join(dir.mark()))
        })
        .collect()
}

/// The systemd of the host, as this machine numbers it.
pub(super) fn leader(network: &Network) -> Option<u32> {
    let namespace = network.namespace_inode()?;
    let own_depth = pid_depth("self")?;
    processes().find(|pid| {
        in_namespace(*pid, namespace) && pid_depth(&pid.to_string()) == Some((own_depth.0 + 1, 1))
    })
}

/// In how many process namespaces a process has a number, and its number in the innermost.
fn pid_depth(pid: &str) -> Option<(usize, u32)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    let numbers: Vec<u32> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    Some((numbers.len(), *numbers.last()?))
}

/// Ends every process of the host at once. Also finds those that a crash left: they are known by
/// the host's folder and by its network, not by a number on record.
pub(super) fn kill(dir: &HostDir, network: Option<&Network>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(15);
    let marker = directory_argument(dir);
    let namespace = network.and_then(Network::namespace_inode);
    loop {
        let mut found: Vec<u32> = processes()
            .filter(|pid| {
                has_argument(*pid, &marker) || namespace.is_some_and(|ns| in_namespace(*pid, ns))
            })
            .collect();
        if found.is_empty() {
            break;
        }
        if Instant::now() > deadline {
            bail!("processes of `{}` do not end: {found:?}", dir.name());
        }
        // The script that would boot the host again is the oldest of them and goes first.
        found.sort_unstable();
        for pid in found.iter().filter_map(|pid| Pid::from_raw((*pid).try_into().ok()?)) {
            // It may have ended by itself since it was listed.
            let _ = kill_process(pid, Signal::KILL);
        }
        sleep(Duration::from_millis(10));
    }
    remove_traces(dir, deadline)
}

/// Removes what systemd-nspawn leaves outside the host's folder.
fn remove_traces(dir: &HostDir, deadline: Instant) -> Result<()> {
    // A name is free for another lab folder's host: then the folder is in use and stays.
    let _ = fs::remove_dir(format!("/run/systemd/nspawn/propagate/{}", dir.name()));
    for cgroup in cgroups(dir) {
        // A killed process stays in its cgroup until the kernel is done with it.
        while let Err(error) = remove_cgroup(&cgroup) {
            if Instant::now() > deadline {
                return Err(error).with_context(|| format!("remove `{}`", cgroup.display()));
            }
            sleep(Duration::from_millis(5));
        }
        // Fails as long as other hosts have theirs in it.
        let _ = cgroup.parent().map(fs::remove_dir);
    }
    Ok(())
}

/// A cgroup's files go with it; only the groups below it have to be removed one by one.
fn remove_cgroup(cgroup: &Path) -> std::io::Result<()> {
    let Ok(entries) = fs::read_dir(cgroup) else { return Ok(()) };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir())) {
        remove_cgroup(&entry.path())?;
    }
    fs::remove_dir(cgroup)
}

/// Runs a program inside the host as its root, without ssh and without its network.
pub(super) fn exec(network: &Network, argv: &[&str]) -> Result<std::process::Output> {
    let leader = leader(network).context("the host is not running")?.to_string();
    let mut command = Command::new("nsenter");
    command.args(["--target", &leader, "--all", "--"]).args(argv);
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin");
    command.stdin(Stdio::null()).output().context("run `nsenter`")
}

/// Mounts the host's root: its own writes over read-only layers, ready in no time.
pub(super) fn mount_root(dir: &HostDir, layers: &[PathBuf]) -> Result<()> {
    if is_mounted(&dir.root()) {
        return Ok(());
    }
    for path in [dir.root(), dir.upper(), dir.work()] {
        make_dir(&path)?;
    }
    // With `redirect_dir` a folder of the base can be renamed, and with `xino` folders and files are of one device, as on
    // any other file system.
    let options = format!(
        "redirect_dir=on,xino=on,lowerdir={},upperdir={},workdir={}",
        layers.iter().map(|layer| layer.display().to_string()).collect::<Vec<_>>().join(":"),
        dir.upper().display(),
        dir.work().display()
    );
    let mut mount = Command::new("mount");
    mount.args(["-t", "overlay", "hwctl-lab", "-o", &options]).arg(dir.root());
    finish(&mut mount).map(drop)
}

/// How much memory this machine has to have to spare before it holds what a host writes: more than ten hosts write.
const SPARE_MEMORY_KIB: u64 = 8 << 20;
/// From this version of Linux on, files in memory have the attributes and flags that they have on a disk.
const ATTRIBUTES_IN_MEMORY: (u32, u32) = (6, 6);

/// Holds what a host writes over its base in memory, where there is plenty. A host that lives for seconds needs no disk, and
/// writing to one is a tenth of what it costs.
pub(super) fn hold_in_memory(dir: &HostDir) -> Result<()> {
    if spare_memory() < Some(SPARE_MEMORY_KIB) || kernel() < Some(ATTRIBUTES_IN_MEMORY) {
        return Ok(());
    }
    make_dir(&dir.overlay())?;
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "mode=0755", "hwctl-lab"]).arg(dir.overlay());
    finish(&mut mount).map(drop)
}

/// The memory that programs of this machine can still have, in KiB.
fn spare_memory() -> Option<u64> {
    let table = fs::read_to_string("/proc/meminfo").ok()?;
    let line = table.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The version of this machine's kernel.
fn kernel() -> Option<(u32, u32)> {
    let name = rustix::system::uname();
    let mut numbers = name.release().to_str().ok()?.split(['.', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Unmounts the host's root if it is mounted.
pub(super) fn unmount_root(dir: &HostDir) -> Result<()> {
    if let Ok(root) = fs::metadata(dir.root()) {
        // systemd-nspawn locks a root by its inode and leaves the file behind; often it is not there.
        let lock = format!("/run/systemd/nspawn/locks/inode-{}:{}", root.dev(), root.ino());
        let _ = fs::remove_file(lock);
    }
    unmount(&dir.root())
}

/// Unmounts what is mounted at a folder, if anything is.
pub(super) fn unmount(folder: &Path) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    while is_mounted(folder) {
        let result = finish(Command::new("umount").arg(folder));
        if Instant::now() > deadline {
            return result.map(drop);
        }
        if result.is_err() {
            sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

fn is_mounted(folder: &Path) -> bool {
    let folder = folder.to_string_lossy().replace(' ', "\\040");
    fs::read_to_string("/proc/self/mounts")
        .is_ok_and(|mounts| mounts.lines().any(|line| line.split(' ').nth(1) == Some(&folder)))
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn has_argument(pid: u32, argument: &str) -> bool {
    fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| line.split(|byte| *byte == 0).any(|arg| arg == argument.as_bytes()))
}

fn in_namespace(pid: u32, namespace: u64) -> bool {
    fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|file| file.ino() == namespace)
}
