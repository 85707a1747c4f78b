//! What HAProxy says over its socket.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::part::balancer::RUNTIME_FOLDER;
use crate::resource::Host;

/// How long an answer may take. A HAProxy that hangs says nothing.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the answer may take on which it depends who has the shared address.
const SHORT_PATIENCE: Duration = Duration::from_millis(400);
/// The longest answer in bytes: some thousand web hosts.
const MAX_ANSWER: u64 = 4 << 20;
/// The backend of the hosts that can do their work.
pub(super) const WEB: &str = "web";
/// The backend of the hosts that answer at all.
pub(super) const ANY: &str = "any";

/// A web host as HAProxy sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) name: String,
    /// Such as `UP`, `UP 1/2`, `DOWN`, `DRAIN`, `MAINT`.
    pub(super) status: String,
    /// How the last check ended, such as `L7OK` or `L4CON`.
    pub(super) check: String,
    /// The status code of the last check, where it came so far.
    pub(super) check_code: String,
    /// The address and the port that connections and checks go to.
    pub(super) address: String,
    /// Its connections now.
    pub(super) current: u64,
    /// Its connections since HAProxy was started or reloaded.
    pub(super) total: u64,
}

impl Server {
    /// Why it gets no work.
    pub(super) fn why(&self) -> String {
        format!("its check fails with {} {}", self.check, self.check_code).trim_end().to_owned()
    }
}

/// Fails unless HAProxy answers at once. keepalived asks every second.
pub async fn require_answer(host: &Host) -> Result<()> {
    ask_within(host, "show info", SHORT_PATIENCE).await.map(drop)
}

/// Asks HAProxy.
pub(super) async fn ask(host: &Host, command: &str) -> Result<String> {
    ask_within(host, command, PATIENCE).await
}

async fn ask_within(host: &Host, command: &str, patience: Duration) -> Result<String> {
    let path = host.path(&Path::new(RUNTIME_FOLDER).join("admin.sock"));
    let asked = async {
        let mut stream = UnixStream::connect(&path).await?;
        stream.write_all(format!("{command}\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.take(MAX_ANSWER).read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = timeout(patience, asked).await;
    let answer = answer.map_err(|_| anyhow!("no answer within {} ms", patience.as_millis()))?;
    answer.with_context(|| format!("ask HAProxy over `{}`", path.display()))
}

/// The web hosts as HAProxy sees them in one of its backends.
pub(super) async fn servers(host: &Host, backend: &str) -> Result<Vec<Server>> {
    Ok(parse(&ask(host, "show stat").await?, backend))
}

/// Reads statistics in HAProxy's CSV. Their columns differ from version to version and have names in the first line.
fn parse(text: &str, backend: &str) -> Vec<Server> {
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default().trim_start_matches("# ");
    let columns: HashMap<&str, usize> =
        header.split(',').enumerate().map(|(at, name)| (name, at)).collect();
    let server = |line: &str| {
        let values: Vec<&str> = line.split(',').collect();
        let value = |name: &str| {
            let value = columns.get(name).and_then(|at| values.get(*at));
            value.copied().unwrap_or_default().to_owned()
        };
        let name = value("svname");
        let is_server = value("pxname") == backend && name != "BACKEND" && name != "FRONTEND";
        is_server.then(|| Server {
            status: value("status"),
            check: value("check_status").trim_start_matches("* ").to_owned(),
            check_code: value("check_code"),
            address: value("addr"),
            current: value("scur").parse().unwrap_or_default(),
            total: value("stot").parse().unwrap_or_default(),
            name,
        })
    };
    lines.filter_map(server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_hosts_are_read_from_the_statistics() {
        let text = "# pxname,svname,scur,stot,status,check_status,check_code,\n\
                    https,FRONTEND,3,9,OPEN,,,\n\
                    web,web1,2,7,UP,L7OK,200,\nweb,web2,0,1,DOWN,* L4CON,,\nweb,BACKEND,2,8,UP,,,\n\
                    any,web1,0,0,UP,L6OK,,\n\n";

        let servers = parse(text, WEB);

        let told: Vec<_> =
            servers.iter().map(|it| (it.name.as_str(), it.status.as_str(), it.current)).collect();
        assert_eq!(told, [("web1", "UP", 2), ("web2", "DOWN", 0)]);
        assert_eq!(servers[1].why(), "its check fails with L4CON");
    }
}
