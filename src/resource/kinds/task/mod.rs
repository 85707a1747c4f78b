//! A command that runs once for what it depends on, such as a build or a change of a database for a new version.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::resource::host::{Host, last_lines};
use crate::resource::kinds::container::Container;
use crate::resource::kinds::kind::Kind;
use crate::resource::model::change::{Action, Back, Change};
use crate::resource::model::digest::sha256;
use crate::resource::model::hint::Advise as _;
use crate::resource::model::id::Id;
use crate::resource::model::profile::{Needs, Pace, Place, Profile, Risk, Undo};

/// Lines of a command's output that an error shows.
const SHOWN_LINES: usize = 12;

/// A command that is done once. It runs again when the command or what it depends on changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its name, unique on the host: letters, digits, `-` and `.`.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The user that runs it.
    pub user: String,
    /// The folder that it runs in.
    pub folder: PathBuf,
    /// A file with its environment, in the form of systemd's `EnvironmentFile=`.
    pub environment: Option<PathBuf>,
    /// Folders that it may write to, besides those of the user.
    pub writable: Vec<PathBuf>,
    /// The resources that it depends on.
    pub inputs: Vec<Id>,
    /// How long it may take, in seconds.
    pub timeout_s: u32,
    /// The folder below `/var/lib` where its user keeps what lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Whether it relies on nothing that other parts run, so that it may be made beside them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stands_alone: bool,
    /// The container that runs it, by a command of its own, in the place of a user on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Box<Container>>,
}

/// What the host knows of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskState {
    /// The digest of what it was done for last. None where it was never done.
    done_for: Option<String>,
}

impl Task {
    /// What the task is done for; None while an input is not known yet.
    fn wanted(&self, host: &Host) -> Option<String> {
        let inputs = host.digest_of(&self.inputs)?;
        // When it is made says nothing of what it makes.
        let own = serde_json::to_string(&Self { stands_alone: false, ..self.clone() }).ok()?;
        Some(sha256(format!("{own}\n{inputs}").as_bytes()))
    }

    fn record(&self) -> String {
        format!("task-{}", self.name)
    }

    /// The command for a message. The words may hold anything, so they are shown as they are declared.
    fn line(&self) -> String {
        self.command.join(" ")
    }

    /// By systemd, as the user and with no more of the host than that: its processes end with it.
    fn words(&self) -> Vec<String> {
        let mut words: Vec<String> =
            ["--wait", "--pipe", "--quiet", "--collect", "--service-type=exec"]
                .map(str::to_owned)
                .into();
        words.push(format!("--unit=hwctl-task-{}", self.name));
        words.push(format!("--uid={}", self.user));
        words.push(format!("--working-directory={}", self.folder.display()));
        let mut property = |text: String| words.extend(["-p".to_owned(), text]);
        property(format!("RuntimeMaxSec={}", self.timeout_s));
        property("NoNewPrivileges=yes".to_owned());
        property("ProtectSystem=strict".to_owned());
        property("PrivateTmp=yes".to_owned());
        if let Some(state) = &self.state {
            property(format!("StateDirectory={state}"));
            property("StateDirectoryMode=0700".to_owned());
            property(format!("Environment=HOME=/var/lib/{state}"));
        }
        for path in &self.writable {
            property(format!("ReadWritePaths={}", path.display()));
        }
        if let Some(file) = &self.environment {
            property(format!("EnvironmentFile={}", file.display()));
        }
        words.push("--".to_owned());
        words.extend(self.command.iter().cloned());
        words
    }

    async fn on_host(&self, host: &Host) -> Result<()> {
        let output = host.output("systemd-run", &self.words()).await?;
        if output.status.success() {
            return Ok(());
        }
        let told = host.without_secrets(last_lines(&output, SHOWN_LINES));
        Err(anyhow!("`{}` fails with {}: {told}", self.line(), output.status))
    }

    async fn in_container(&self, container: &Container, host: &Host) -> Result<()> {
        let container = Container { command: self.command.clone(), ..container.clone() };
        let patience = Duration::from_secs(self.timeout_s.into());
        let ran = container.run_once(host, patience).await;
        ran.with_context(|| {
            format!("`{}` fails in a container of `{}`", self.line(), container.image)
        })
    }
}

impl Kind for Task {
    type State = TaskState;

    const WORD: &'static str = "task";

    fn id(&self) -> Id {
        Id::new(Self::WORD, &self.name)
    }

    fn named(_: &str) -> Option<Self> {
        None
    }

    fn profile(&self) -> Profile<'_> {
        Profile {
            place: Place::Nowhere,
            target: None,
            written: [None, None],
            bytes: 0,
            blob: None,
            inputs: &self.inputs,
            needs: Needs::AllPackages,
            pace: if self.stands_alone { Pace::Ahead } else { Pace::AfterOthers },
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

    async fn read(&self, host: &Host) -> Result<TaskState> {
        let done_for = std::fs::read_to_string(host.kept_path(&self.record())).ok();
        Ok(TaskState { done_for })
    }

    fn diff(&self, state: &TaskState, host: &Host) -> Result<Option<Change>> {
        let wanted = self.wanted(host);
        if wanted.is_some() && state.done_for == wanted {
            return Ok(None);
        }
        let mut change =
            Change::new(self.id(), Action::Create).attribute("run", None, Some(self.line()));
        change.not_undone = Some(format!("what `{}` did", self.line()));
        Ok(Some(match host.first_changed(&self.inputs) {
            Some(id) if state.done_for.is_some() => change.because(format!("`{id}` changes")),
            _ => change,
        }))
    }

    /// Others that depend on it depend on what it was done for.
    fn digest(&self, _: &TaskState, host: &Host) -> Option<String> {
        self.wanted(host)
    }

    fn digest_now(&self, state: &TaskState, _: &Host) -> Option<String> {
        state.done_for.clone()
    }

    async fn apply(&self, _: &TaskState, host: &Host) -> Result<()> {
        host.progress(None, format!("running {}", self.line()));
        let done = match &self.container {
            Some(container) => self.in_container(container, host).await,
            None => self.on_host(host).await,
        };
        done.hint("what served before goes on serving; `hwctl provision` runs it again")?;
        match self.wanted(host) {
            Some(digest) => host.keep_between_runs(&self.record(), digest.as_bytes()),
            None => Ok(()),
        }
    }

    async fn wait_for_others(&self, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn launch(&self, _: &TaskState, _: &Host) -> Result<()> {
        Ok(())
    }

    async fn finish(&self, state: &TaskState, host: &Host) -> Result<()> {
        self.apply(state, host).await
    }

    async fn sweep(&self, host: &Host) -> Result<()> {
        if let Some(container) = &self.container {
            return container.sweep_once(host).await;
        }
        let unit = format!("hwctl-task-{}.service", self.name);
        host.output("systemctl", &["stop", &unit]).await.map(drop)
    }

    async fn release(&self, _: &TaskState, _: &Host) -> Result<()> {
        Ok(())
    }

    /// Only the record goes back: what the command did is for the next run of it.
    async fn undo(&self, before: &TaskState, host: &Host) -> Result<()> {
        match &before.done_for {
            Some(digest) => host.keep_between_runs(&self.record(), digest.as_bytes()),
            None => host.keep_no_longer(&self.record()),
        }
    }

    async fn diff_back(&self, now: &TaskState, to: &TaskState, _: &Host) -> Result<Back> {
        if now == to {
            return Ok(Back::Nothing);
        }
        let mut change = Change::new(self.id(), Action::Remove);
        change.not_undone = Some(format!("what `{}` did", self.line()));
        Ok(Back::Change(change.attribute("run", Some(self.line()), None)))
    }
}
