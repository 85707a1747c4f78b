//! Messages go out through curl: it speaks HTTP and SMTP with TLS as each distribution trusts certificates, and costs
//! hwctl's binary nothing. What it does is on its standard input, since an argument could be seen by everybody.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use super::mail::{encoded, mail};
use super::message::{Message, MessageState};
use super::queue::{Delivery, Queue};
use super::settings::{Channel, Email, Settings, Way};
use crate::resource::{Secret, write_atomic};

/// How long a connection and a whole message may take, in seconds.
const CONNECT_S: u32 = 10;
const MESSAGE_S: u32 = 30;
/// After so long a curl that does not end is killed.
const PATIENCE: Duration = Duration::from_secs(40);

/// How curl is started, and where it finds mails.
pub struct Curl {
    /// Makes the command, without arguments.
    pub command: Box<dyn Fn() -> Command>,
    /// A folder of this user alone.
    pub folder: PathBuf,
}

impl Curl {
    /// Gives each channel what waits for it. Returns what became of it.
    pub async fn deliver(&self, queue: &Queue, settings: &Settings, now: i64) -> Vec<Delivery> {
        let one = async |channel: &Channel| {
            let mut delivery = Delivery { channel: channel.id.clone(), taken: 0, error: None };
            let due = queue.due(&channel.id, now);
            if due.is_empty() {
                return None;
            }
            for message in due {
                match self.send(channel, message, now).await {
                    Ok(()) => delivery.taken += 1,
                    Err(error) => {
                        delivery.error = Some(error);
                        break;
                    }
                }
            }
            Some(delivery)
        };
        join_all(settings.channels.iter().map(one)).await.into_iter().flatten().collect()
    }

    /// Sends one message. An error says why the channel did not take it, and holds no secret.
    pub async fn send(&self, channel: &Channel, message: &Message, now: i64) -> Result<(), String> {
        match &channel.way {
            Way::Webhook(url) => {
                let config = Config::http(url).set("data-raw", &message.json());
                self.run(config.set("header", "Content-Type: application/json")).await
            }
            Way::Ntfy(url) => self.run(ntfy(url, message)).await,
            Way::Email(email) => {
                // curl reads what it does from its standard input, and a mail from a file.
                let name = channel.id.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
                let path = self.folder.join(format!("mail-{name}"));
                let text = mail(email, message, now);
                write_atomic(&path, text.as_bytes(), 0o600, None)
                    .map_err(|error| format!("the mail cannot be written: {error:#}"))?;
                let sent = self.run(smtp(email, &path)).await;
                let _ = std::fs::remove_file(&path);
                sent
            }
        }
    }

    /// Asks for a URL, to say that the watch is alive.
    pub async fn ping(&self, url: &Secret) -> Result<(), String> {
        self.run(Config::http(url)).await
    }

    async fn run(&self, Config(config): Config) -> Result<(), String> {
        let mut command = (self.command)();
        // curl takes no file of settings of this user.
        command.args(["--disable", "--config", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.kill_on_drop(true).spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "curl is not installed".to_owned(),
            _ => format!("curl cannot be started: {error}"),
        })?;
        let stdin = child.stdin.take();
        let ended = timeout(PATIENCE, async {
            if let Some(mut stdin) = stdin {
                // A curl that ends early says why by its exit code.
                let _ = stdin.write_all(config.as_bytes()).await;
            }
            child.wait_with_output().await
        });
        let output = match ended.await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(format!("curl cannot be run: {error}")),
            Err(_) => return Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        let status = String::from_utf8_lossy(&output.stdout);
        // The last answer: a proxy or a server may have given several.
        let status = status.trim().rsplit(' ').next().and_then(|code| code.parse::<u16>().ok());
        judge(output.status.code(), status.filter(|status| *status > 0))
    }
}

/// What curl reads on its standard input.
struct Config(String);

impl Config {
    fn new(url: &str, protocols: &str) -> Self {
        let (connect, all) = (CONNECT_S.to_string(), MESSAGE_S.to_string());
        Self(String::new())
            .flag("silent")
            // Brackets in a URL are no pattern.
            .flag("globoff")
            .set("proto", protocols)
            .set("connect-timeout", &connect)
            .set("max-time", &all)
            .set("output", "/dev/null")
            .set("write-out", "%{response_code}")
            .set("url", url)
    }

    fn http(url: &Secret) -> Self {
        Self::new(url.expose(), "=http,https").set("user-agent", "hwctl")
    }

    fn flag(mut self, name: &str) -> Self {
        let _ = writeln!(self.0, "{name}");
        self
    }

    /// An option with a value, quoted as curl reads it.
    fn set(mut self, name: &str, value: &str) -> Self {
        let _ = write!(self.0, "{name} = \"");
        for c in value.chars() {
            match c {
                '"' | '\\' => self.0.extend(['\\', c]),
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                '\t' => self.0.push_str("\\t"),
                // None of the values has one.
                '\0' => {}
                c => self.0.push(c),
            }
        }
        self.0.push_str("\"\n");
        self
    }
}

fn ntfy(url: &Secret, message: &Message) -> Config {
    let tag = match message.state {
        MessageState::Fault => "rotating_light",
        MessageState::Reminder => "hourglass",
        MessageState::Recovered => "white_check_mark",
        MessageState::Test => "wave",
    };
    let priority = if message.state.is_urgent() { "high" } else { "default" };
    // Encoded words of a long title are one line here.
    let title = encoded(&message.subject()).replace("\r\n", "");
    let body = message.body();
    let body = if body.is_empty() { message.subject() } else { body };
    Config::http(url)
        .set("header", &format!("Title: {title}"))
        .set("header", &format!("Priority: {priority}"))
        .set("header", &format!("Tags: {tag}"))
        .set("header", "Content-Type: text/plain; charset=utf-8")
        .set("data-raw", &body)
}

fn smtp(email: &Email, mail: &Path) -> Config {
    let mut config = Config::new(&email.url, "=smtp,smtps")
        .set("mail-from", &email.from)
        .set("upload-file", &mail.to_string_lossy());
    for address in &email.to {
        config = config.set("mail-rcpt", address);
    }
    if email.requires_tls {
        config = config.flag("ssl-reqd");
    }
    match &email.login {
        Some((user, password)) => config.set("user", &format!("{user}:{}", password.expose())),
        None => config,
    }
}

/// What curl's exit code and the answer mean. Its own messages may hold the URL.
fn judge(exit: Option<i32>, status: Option<u16>) -> Result<(), String> {
    let answer = status.map(|status| format!("it answers {status}"));
    let told = match exit {
        Some(0) if status.is_none_or(|status| (200..300).contains(&status)) => return Ok(()),
        Some(0) => return Err(answer.unwrap_or_default()),
        Some(5) => "the name of the proxy does not resolve",
        Some(6) => "its name does not resolve",
        Some(7) => "nothing accepts the connection",
        Some(28) => "no answer in time",
        Some(35) => "no agreement about TLS",
        Some(51 | 60) => "its certificate is not trusted",
        Some(52) => "it closes the connection without an answer",
        Some(64) => "it offers no TLS",
        Some(67) => "it refuses the login",
        Some(code) => {
            let answer = answer.map(|answer| format!("; {answer}")).unwrap_or_default();
            return Err(format!("curl ends with exit code {code}{answer}"));
        }
        None => "curl was ended by a signal",
    };
    Err(told.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_curls_configuration_stays_one_value() {
        let Config(text) =
            Config(String::new()).set("data-raw", "a \"b\" \\ \n-o /etc/passwd\r\t\0@x");
        assert_eq!(text, "data-raw = \"a \\\"b\\\" \\\\ \\n-o /etc/passwd\\r\\t@x\"\n");
        let Config(text) = smtp(
            &Email {
                to: vec!["a@b".to_owned(), "c@d".to_owned()],
                from: "x@y".to_owned(),
                url: "smtps://m:465".to_owned(),
                requires_tls: true,
                login: Some(("u".to_owned(), Secret::new("p\"\\\nurl = \"x"))),
            },
            Path::new("/x/mail"),
        );
        assert!(text.contains("\nuser = \"u:p\\\"\\\\\\nurl = \\\"x\"\n"), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("url = ")).count(), 1, "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("mail-rcpt = ")).count(), 2);
        assert!(text.contains("\nssl-reqd\n") && text.contains("\nproto = \"=smtp,smtps\"\n"));
    }

    #[test]
    fn what_went_wrong_is_said_without_the_url() {
        assert_eq!(judge(Some(0), Some(200)), Ok(()));
        assert_eq!(judge(Some(0), Some(250)), Ok(()));
        assert_eq!(judge(Some(0), None), Ok(()));
        let told = |exit, status| judge(exit, status).unwrap_err();
        assert_eq!(told(Some(0), Some(404)), "it answers 404");
        assert_eq!(told(Some(0), Some(301)), "it answers 301");
        assert_eq!(told(Some(7), None), "nothing accepts the connection");
        assert_eq!(told(Some(55), Some(550)), "curl ends with exit code 55; it answers 550");
        assert_eq!(told(None, None), "curl was ended by a signal");
    }

    #[test]
    fn a_topic_of_ntfy_gets_its_headers_in_a_line_each() {
        let hostile = Message {
            summary: format!("x\r\nActions: view {}", "y".repeat(200)),
            ..Message::test("vm1", 1)
        };
        let Config(text) = ntfy(&Secret::new("https://ntfy.example.com/t"), &hostile);
        let headers = text.lines().filter(|line| line.starts_with("header = ")).count();
        assert_eq!(headers, 4, "{text}");
        assert!(text.contains("header = \"Title: =?UTF-8?B?"), "{text}");
        assert!(!text.contains("Actions"), "{text}");
    }
}
