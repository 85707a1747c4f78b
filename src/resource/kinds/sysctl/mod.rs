//! The live value of a kernel setting. That it lasts is for a file in `/etc/sysctl.d`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::resource::host::Host;
use crate::resource::kinds::kind::Kind;
use crate::resource::model::change::{Action, Back, Change};
use crate::resource::model::hint::Advise;
use crate::resource::model::id::Id;
use crate::resource::model::profile::{Needs, Pace, Place, Profile, Risk, Undo};

/// A kernel setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    /// Its name as `sysctl` writes it, such as `vm.overcommit_memory`.
    pub key: String,
    /// Its value; several numbers are parted by one space.
    pub value: String,
}

impl Sysctl {
    fn path(&self, host: &Host) -> PathBuf {
        // As sysctl(8) does it: whichever of `.` and `/` comes first parts the name, and then the
        // other one stands for it (`net.ipv4.conf.eth0/1.forwarding`).
        let swap = |c| match c {
            '.' => '/',
            '/' => '.',
            other => other,
        };
        let slashes = self.key.find(['.', '/']).is_some_and(|at| self.key[at..].starts_with('/'));
        let relative: String =
            if slashes { self.key.clone() } else { self.key.chars().map(swap).collect() };
        host.path(&Path::new("/proc/sys").join(relative))
    }

    fn write(&self, host: &Host, value: &str) -> Result<()> {
        let write = fs::write(self.path(host), format!("{value}\n"))
            .with_context(|| format!("set the kernel setting `{}` to `{value}`", self.key));
        match write {
            Err(error) if read_only(&error) => {
                Err(error).hint("the host is a container that shares its kernel: set it outside")
            }
            written => written,
        }
    }
}

fn read_only(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == ErrorKind::ReadOnlyFilesystem)
}

impl Kind for Sysctl {
    type State = String;

    const WORD: &'static str = "sysctl";

    fn id(&self) -> Id {
        Id::new(Self::WORD, &self.key)
    }

    fn named(name: &str) -> Option<Self> {
        Some(Self { key: name.to_owned(), value: String::new() })
    }

    fn profile(&self) -> Profile<'_> {
        Profile {
            place: Place::Nowhere,
            target: None,
            written: [None, None],
            bytes: 0,
            blob: None,
            inputs: &[],
            needs: Needs::Nothing,
            pace: Pace::InTurn,
            is_data: false,
            risk: Risk::None,
            undo: Undo::Setting,
            series: None,
            hands_over: false,
        }
    }

    fn for_journal(&self) -> Self {
        self.clone()
    }

    async fn read(&self, host: &Host) -> Result<String> {
        let text = match fs::read_to_string(self.path(host)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(error)
                    .with_context(|| format!("the kernel has no setting `{}`", self.key));
            }
            read => read.with_context(|| format!("read the kernel setting `{}`", self.key))?,
        };
        Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn diff(&self, state: &String, _: &Host) -> Result<Option<Change>> {
        Ok(Change::new(self.id(), Action::Update)
            .attribute("value", Some(state.clone()), Some(self.value.clone()))
            .unless_empty())
    }

    fn digest(&self, _: &String, _: &Host) -> Option<String> {
        Some(self.value.clone())
    }

    fn digest_now(&self, state: &String, _: &Host) -> Option<String> {
        Some(state.clone())
    }

    async fn apply(&self, _: &String, host: &Host) -> Result<()> {
        self.write(host, &self.value)
    }

    async fn wait_for_others(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn launch(&self, _: &String, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn finish(&self, state: &String, host: &Host) -> Result<()> {
        self.apply(state, host).await
    }

    async fn sweep(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn release(&self, _: &String, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn undo(&self, before: &String, host: &Host) -> Result<()> {
        self.write(host, before)
    }

    async fn diff_back(&self, now: &String, to: &String, _: &Host) -> Result<Back> {
        let change = Change::new(self.id(), Action::Update);
        Ok(change.attribute("value", Some(now.clone()), Some(to.clone())).unless_empty().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(root: &Path) -> Host {
        Host::new(root, Box::new(|_| anyhow::bail!("no blobs")), Box::new(|_| {}))
    }

    #[tokio::test]
    async fn a_setting_is_set_then_unchanged_then_as_before() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("proc/sys/net/ipv4");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("tcp_rmem"), "1\t2\t3\n").unwrap();
        let host = host(root.path());
        let setting = Sysctl { key: "net.ipv4.tcp_rmem".into(), value: "4 5 6".into() };
        let before = setting.read(&host).await.unwrap();
        assert_eq!(before, "1 2 3");
        assert!(setting.diff(&before, &host).unwrap().is_some());
        setting.apply(&before, &host).await.unwrap();
        let after = setting.read(&host).await.unwrap();
        assert_eq!(setting.diff(&after, &host).unwrap(), None);
        setting.undo(&before, &host).await.unwrap();
        assert_eq!(setting.read(&host).await.unwrap(), before);
    }

    #[tokio::test]
    async fn an_unknown_setting_is_an_error_that_names_it() {
        let root = tempfile::tempdir().unwrap();
        let setting = Sysctl { key: "vm.none".into(), value: "1".into() };
        let error = setting.read(&host(root.path())).await.unwrap_err();
        assert_eq!(error.to_string(), "the kernel has no setting `vm.none`");
    }

    #[test]
    fn a_dot_inside_a_part_is_written_as_a_slash() {
        let host = host(Path::new("/r"));
        let path = |key: &str| Sysctl { key: key.into(), value: String::new() }.path(&host);
        let eth = Path::new("/r/proc/sys/net/ipv4/conf/eth0.1/forwarding");
        assert_eq!(path("net.ipv4.conf.eth0/1.forwarding"), eth);
        assert_eq!(path("net/ipv4/conf/eth0.1/forwarding"), eth);
    }
}
