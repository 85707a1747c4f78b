//! Where ssh goes, and by which way: what `ssh_config` makes of a host's name, as ssh itself says.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use super::resolve::resolve;
use super::ssh::Target;
use crate::client::{Program, Way, served_certificate};
use crate::spec::{Endpoint, Pin};

/// How long a port may take to accept or refuse a connection before it counts as silent.
const KNOCK: Duration = Duration::from_secs(2);
/// How long a forward through ssh may take until the other end speaks.
const FORWARD: Duration = Duration::from_secs(5);

/// Where a host is, and how a client comes to it.
#[derive(Clone, Debug)]
pub struct Route {
    /// The name or address that ssh connects to, which is also that of the host's URLs.
    pub host: String,
    /// What ssh goes through, as the operator wrote it. None when it connects by itself.
    pub through: Option<String>,
    /// Whether the host is this machine.
    pub is_here: bool,
    program: Option<Program>,
    /// The way through the session's own connection, to ports of the host's loopback.
    inside: Option<Program>,
}

/// What the ports of endpoints do when a connection comes from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebPorts {
    /// All accept or refuse it: the way is open.
    Answer,
    /// One of them does not: a firewall is in between, or on the host.
    Silent,
}

impl WebPorts {
    fn of(answers: &[bool]) -> Self {
        if answers.iter().all(|answers| *answers) { Self::Answer } else { Self::Silent }
    }
}

impl Route {
    /// A host that is connected to without anything between.
    #[must_use]
    pub fn direct(host: &str) -> Self {
        Self { host: host.to_owned(), through: None, is_here: false, program: None, inside: None }
    }

    /// Asks ssh. What it cannot say is as the target has it: the login reports what is wrong.
    pub(super) async fn of(target: &Target) -> Self {
        if target.is_here {
            return Self { is_here: true, ..Self::direct(&target.address) };
        }
        let Ok(arguments) = target.arguments() else { return Self::direct(&target.address) };
        let mut ssh = Command::new("ssh");
        ssh.args(&arguments).args(["-G", "--", &target.address]).stdin(Stdio::null());
        let output = ssh.kill_on_drop(true).output().await;
        let said = output.map(|output| output.stdout).unwrap_or_default();
        Self::read(target, &arguments, &String::from_utf8_lossy(&said))
    }

    fn read(target: &Target, arguments: &[String], said: &str) -> Self {
        let value = |key: &str| {
            let mut lines = said.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(name, _)| *name == key).map(|(_, value)| value.trim())
        };
        let host = value("hostname").unwrap_or(&target.address).to_owned();
        let is_set = |value: &&str| !value.is_empty() && *value != "none";
        let jump = value("proxyjump").filter(is_set);
        let command = value("proxycommand").filter(is_set);
        let program = match (jump, command) {
            (Some(jump), _) => Some(by_jump(&host, jump, arguments)),
            (None, Some(command)) => {
                let user = value("user").unwrap_or_default();
                Some(by_command(&host, &target.address, user, command))
            }
            (None, None) => None,
        };
        let through = jump.or(command).map(str::to_owned);
        Self { host, through, is_here: false, program, inside: None }
    }

    /// Adds the way through a session whose control socket this is.
    pub(super) fn with_session(self, socket: &str) -> Self {
        let words =
            ["ssh", "-S", socket, "-oBatchMode=yes", "-W", "127.0.0.1:{port}", "--", &self.host];
        let inside = Some(Program::new(words.map(str::to_owned).to_vec()));
        Self { inside, ..self }
    }

    /// The way that ssh goes, for other ports.
    pub async fn way(&self) -> Result<Way> {
        match &self.program {
            Some(program) => Ok(Way::Program(program.clone())),
            None => Ok(resolve(&self.host).await?.into()),
        }
    }

    /// The way through the session's own connection, or None where the host forwards nothing.
    pub async fn way_inside(&self, ssh_port: u16) -> Option<Way> {
        let way = Way::Program(self.inside.clone()?);
        let greets = async {
            let mut stream = way.open(ssh_port).await.ok()?;
            let mut greeting = [0; 4];
            stream.read_exact(&mut greeting).await.ok()?;
            (&greeting == b"SSH-").then_some(())
        };
        timeout(FORWARD, greets).await.ok().flatten()?;
        Some(way)
    }

    /// What the ports of the endpoints do now. Without any, nothing is silent.
    pub async fn web_ports(&self, endpoints: &[Endpoint]) -> WebPorts {
        let Ok(way) = self.way().await else { return WebPorts::Answer };
        if let Way::Program(_) = way {
            // A program connects before it is known whether the port does, so it has to be heard.
            let speaks = endpoints.iter().map(async |endpoint| match endpoint.pin {
                Pin::Plain => speaks_http(&way, endpoint.port).await,
                Pin::File(_) => speaks_https(&way, endpoint.port, &self.host).await,
            });
            return WebPorts::of(&join_all(speaks).await);
        }
        let answers = async |port| match timeout(KNOCK, way.open(port)).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused),
            Err(_) => false,
        };
        let answer = endpoints.iter().map(|endpoint| answers(endpoint.port));
        WebPorts::of(&join_all(answer).await)
    }
}

async fn speaks_http(way: &Way, port: u16) -> bool {
    let heard = async {
        let mut stream = way.open(port).await.ok()?;
        stream.write_all(b"HEAD / HTTP/1.0\r\n\r\n").await.ok()?;
        stream.read_u8().await.ok()
    };
    timeout(FORWARD, heard).await.is_ok_and(|byte| byte.is_some())
}

async fn speaks_https(way: &Way, port: u16, host: &str) -> bool {
    let served = served_certificate(way, port, host);
    timeout(FORWARD, served).await.is_ok_and(|served| served.is_ok())
}

/// By the last of some jump hosts, as ssh itself does it.
fn by_jump(host: &str, jump: &str, arguments: &[String]) -> Program {
    let (before, last) = match jump.rsplit_once(',') {
        Some((before, last)) => (Some(before), last),
        None => (None, jump),
    };
    let last = if last.contains("://") { last.to_owned() } else { format!("ssh://{last}") };
    let mut words = vec!["ssh".to_owned(), "-oBatchMode=yes".to_owned()];
    // A configuration that the inventory names counts for jump hosts too, as it does for ssh.
    let config = arguments.iter().position(|word| word.starts_with("-F"));
    if let Some(at) = config {
        let length = if arguments[at] == "-F" { 2 } else { 1 };
        words.extend(arguments[at..].iter().take(length).cloned());
    }
    words.extend(before.iter().flat_map(|before| ["-J".to_owned(), (*before).to_owned()]));
    words.extend(["-W".to_owned(), format!("[{host}]:{{port}}"), "--".to_owned(), last]);
    Program::new(words)
}

/// By a command of the operator's, with ssh's tokens filled in.
fn by_command(host: &str, original: &str, user: &str, command: &str) -> Program {
    let mut line = String::from("exec ");
    let mut rest = command.chars();
    while let Some(character) = rest.next() {
        match (character, if character == '%' { rest.next() } else { None }) {
            ('%', Some('h')) => line.push_str(host),
            ('%', Some('n')) => line.push_str(original),
            ('%', Some('p')) => line.push_str("{port}"),
            ('%', Some('r')) => line.push_str(user),
            ('%', Some('%')) => line.push('%'),
            ('%', Some(other)) => line.extend(['%', other]),
            _ => line.push(character),
        }
    }
    Program::new(vec!["sh".to_owned(), "-c".to_owned(), line])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(said: &str, arguments: &[&str]) -> Route {
        let arguments: Vec<_> = arguments.iter().map(|word| (*word).to_owned()).collect();
        Route::read(&Target::at("prod-web"), &arguments, said)
    }

    fn words(route: &Route, port: u16) -> String {
        route.program.as_ref().map(|program| program.words(port).join(" ")).unwrap_or_default()
    }

    #[tokio::test]
    async fn a_way_by_a_program_answers_once_it_is_heard() {
        let by = |script: &str| {
            Way::Program(Program::new(["sh", "-c", script].map(str::to_owned).to_vec()))
        };

        assert!(speaks_http(&by("read line; echo HTTP/1.0 301"), 80).await);
        assert!(!speaks_http(&by("exit 1"), 80).await);
        assert!(!speaks_https(&by("echo HTTP/1.0 400"), 443, "host").await);
    }

    #[test]
    fn an_alias_is_what_ssh_config_says() {
        let route = route("user bob\nhostname 192.0.2.7\nport 22\n", &[]);

        assert_eq!((route.host.as_str(), &route.through), ("192.0.2.7", &None));
        assert_eq!(words(&route, 443), "");
    }

    #[test]
    fn other_ports_are_reached_the_way_that_ssh_goes() {
        let jump = route("hostname web.internal\nproxyjump a,bob@b:2222\n", &["-F", "my config"]);
        let command = "hostname ::1\nuser bob\nproxycommand ssh -W [%h]:%p -l %r gate%%1\n";

        assert_eq!(
            words(&jump, 443),
            "ssh -oBatchMode=yes -F my config -J a -W [web.internal]:443 -- ssh://bob@b:2222"
        );
        assert_eq!(jump.through.as_deref(), Some("a,bob@b:2222"));
        assert_eq!(words(&route(command, &[]), 80), "sh -c exec ssh -W [::1]:80 -l bob gate%1");
        assert_eq!(words(&route("hostname h\nproxycommand none\n", &[]), 80), "");
    }

    proptest::proptest! {
        #[test]
        fn damaged_words_of_ssh_give_a_route(text in crate::damaged::text(&["hostname 192.0.2.7\nuser me\nproxyjump a@b:22\n", "hostname x\nuser u\nproxycommand nc %h %p\n"])) {
            route(&text, &["-p", "22"]);
        }
    }
}
