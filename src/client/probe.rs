//! What a client sees of a host, compared with what it should see.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use futures_util::future::join_all;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::endpoint::{Pins, url, url_host};
use super::https::{self, Answer, HttpsConnection};
use super::way::Way;
use crate::event::Check;
use crate::spec::{Endpoint, Pin, Question, Wanted};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a port that should be closed may take to answer, in times that an endpoint takes to accept a
/// connection: a port that is open answers a distant client later.
const CLOSED_FACTOR: u32 = 5;
/// The least and the most of that time.
const CLOSED_LIMITS: (Duration, Duration) = (Duration::from_millis(150), Duration::from_secs(2));
/// The name of the check of the ports that must not answer.
const PORTS: &str = "undeclared ports";

/// What a client should see of a host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Expected {
    /// Address or name that the host is reached by.
    pub address: String,
    /// The endpoints that the questions name.
    pub endpoints: Vec<Endpoint>,
    /// What the endpoints are recognized by. With None any certificate is accepted, since it is not known
    /// yet which one will be served.
    pub pins: Option<Pins>,
    /// What is asked for.
    pub questions: Vec<Question>,
    /// TCP ports that must not answer.
    pub closed: Vec<u16>,
}

/// What came of one question, or of the look at the closed ports.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Whether it was right, and what was seen.
    pub check: Check,
    /// Whether the cause of a fault may lie behind the endpoint: it answers 500 or more, or not in time.
    pub is_behind: bool,
}

impl Seen {
    fn of(name: String, seen: Result<String>) -> Self {
        let is_behind = seen.as_ref().is_err_and(|error| error.downcast_ref::<Behind>().is_some());
        Self { check: Check::of(name, seen), is_behind }
    }
}

/// A fault whose cause may lie behind the endpoint.
#[derive(Debug)]
struct Behind(String);

impl std::fmt::Display for Behind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Behind {}

impl Expected {
    /// The same for a client on the host itself, which the list of addresses of a site may not have.
    #[must_use]
    pub fn from_the_host_itself(mut self) -> Self {
        for question in &mut self.questions {
            let Wanted::Page { statuses, is_listed, .. } = &mut question.wanted else { continue };
            if *statuses == [403] {
                statuses.extend([200, 401]);
            } else if *is_listed {
                statuses.push(403);
            }
        }
        self.closed.clear();
        self
    }

    /// The names of all checks that [`probe`] makes of this.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let host = url_host(&self.address);
        let questions = self.questions.iter().map(|question| self.name(question, &host));
        questions.chain([PORTS.to_owned()]).collect()
    }

    fn endpoint(&self, name: &str) -> Result<&Endpoint> {
        let mut endpoints = self.endpoints.iter();
        let found = endpoints.find(|endpoint| endpoint.name == name);
        found.with_context(|| format!("there is no endpoint `{name}`"))
    }

    fn name(&self, question: &Question, host: &str) -> String {
        match self.endpoint(&question.endpoint) {
            Ok(endpoint) => url(endpoint, question.host.as_deref().unwrap_or(host), &question.path),
            Err(_) => format!("{} {}", question.endpoint, question.path),
        }
    }

    async fn ask(&self, question: &Question, way: &Way, host: &str) -> Result<String> {
        let endpoint = self.endpoint(&question.endpoint)?;
        let host = question.host.as_deref().unwrap_or(host);
        let mut connection = connect(way, endpoint, host, self.pins.as_ref()).await?;
        let answer = connection.get(&question.path).await?;
        match &question.wanted {
            Wanted::RedirectTo(other) => {
                let to = url(self.endpoint(other)?, host, &question.path);
                leads_to(&answer, &to, "HTTPS")
            }
            Wanted::Location(to) => leads_to(&answer, to, to),
            Wanted::Page { .. } if is_maintained(&answer) => Ok("503, in maintenance".to_owned()),
            Wanted::Certificate => Ok(status_text(answer.status)),
            Wanted::Page { statuses, holds, .. } => {
                is_page(answer.status, &answer.body, statuses, holds.as_deref())
            }
        }
    }
}

/// Whether the operator has taken what was asked for out of service.
#[must_use]
pub fn is_maintained(answer: &Answer) -> bool {
    answer.status == 503 && answer.header("x-maintenance") == "on"
}

fn leads_to(answer: &Answer, to: &str, what: &str) -> Result<String> {
    let location = answer.header("location");
    if !(300..400).contains(&answer.status) || location != to {
        bail!("{}, to `{location}` instead of {what}", status_text(answer.status));
    }
    Ok(format!("{} to {location}", answer.status))
}

/// Connects to an endpoint, which has to be recognized by its pin where `pins` are known.
async fn connect(
    way: &Way,
    endpoint: &Endpoint,
    host: &str,
    pins: Option<&Pins>,
) -> Result<HttpsConnection> {
    let file = match &endpoint.pin {
        Pin::File(file) => file,
        Pin::Plain => return HttpsConnection::plain(way, endpoint.port, host).await,
        Pin::Behind => return HttpsConnection::secure(way, endpoint.port, host, None).await,
    };
    let pin = pins.map(|pins| {
        let none = || format!("the host has no certificate at `{}`", file.display());
        pins.of(&endpoint.name).with_context(none)
    });
    HttpsConnection::secure(way, endpoint.port, host, pin.transpose()?).await
}

/// Asks all questions at once, and looks at the ports.
pub async fn probe(way: &Way, expected: &Expected) -> Vec<Seen> {
    let host = &url_host(&expected.address);
    let answers = join_all(expected.questions.iter().map(async |question| {
        let seen = within(expected.ask(question, way, host)).await;
        Seen::of(expected.name(question, host), seen)
    }));
    let (answers, closed) = tokio::join!(answers, closed_ports(way, expected));
    answers.into_iter().chain(closed).collect()
}

/// Looks whether a port answers that must not. A program that connects says so before it is known whether
/// the port does, so by such a way there is nothing to look at.
async fn closed_ports(way: &Way, expected: &Expected) -> Option<Seen> {
    let Expected { closed, endpoints, .. } = expected;
    if closed.is_empty() || matches!(way, Way::Program(_)) {
        return None;
    }
    let patience = patience(way, endpoints.last()).await;
    let knocks = closed.iter().map(|port| async move {
        let answer = timeout(patience, way.open(*port)).await;
        matches!(answer, Ok(Ok(_))).then_some(*port)
    });
    let open = join_all(knocks).await;
    let open: Vec<_> = open.into_iter().flatten().map(|port| port.to_string()).collect();
    let seen = match open.is_empty() {
        true => Ok(format!("{} ports do not answer", closed.len())),
        false => Err(anyhow!("port {} answers", open.join(", "))),
    };
    Some(Seen::of(PORTS.to_owned(), seen))
}

/// How long a closed port is waited for, by the time that an endpoint takes.
async fn patience(way: &Way, endpoint: Option<&Endpoint>) -> Duration {
    let Some(endpoint) = endpoint else { return CLOSED_LIMITS.1 };
    let since = Instant::now();
    let answer = timeout(CLOSED_LIMITS.1 / CLOSED_FACTOR, way.open(endpoint.port)).await;
    match answer {
        // A refusal is an answer too.
        Ok(_) => (since.elapsed() * CLOSED_FACTOR).clamp(CLOSED_LIMITS.0, CLOSED_LIMITS.1),
        Err(_) => CLOSED_LIMITS.1,
    }
}

async fn within<T>(look: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(PATIENCE, look).await.map_err(|_| Behind("no answer within 5 s".to_owned()))?
}

fn is_page(status: u16, body: &[u8], statuses: &[u16], holds: Option<&str>) -> Result<String> {
    let shown = status_text(status);
    if !statuses.contains(&status) {
        let wanted: Vec<_> = statuses.iter().map(u16::to_string).collect();
        let wrong = format!("{shown} instead of {}", wanted.join(" or "));
        return Err(match status >= 500 {
            true => Behind(wrong).into(),
            false => anyhow!(wrong),
        });
    }
    if let Some(text) = holds
        && !String::from_utf8_lossy(body).contains(text)
    {
        bail!("{shown}, but the answer does not hold `{text}`");
    }
    Ok(status.to_string())
}

/// Such as `502 Bad Gateway`.
fn status_text(status: u16) -> String {
    StatusCode::from_u16(status).map_or_else(|_| status.to_string(), |status| status.to_string())
}

/// The certificate that an endpoint serves: SHA-256 of it (DER), in hex.
pub async fn served(way: &Way, endpoint: &Endpoint, address: &str) -> Result<String> {
    within(https::served_certificate(way, endpoint.port, &url_host(address))).await
}

/// The status code that a client gets at `path` of an endpoint, whatever certificate that serves.
pub async fn status(way: &Way, endpoint: &Endpoint, address: &str, path: &str) -> Result<u16> {
    within(async {
        let mut connection = connect(way, endpoint, &url_host(address), None).await?;
        Ok(connection.get(path).await?.status)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(questions: Vec<Question>) -> Expected {
        let endpoint = |name: &str, port, pin| Endpoint { name: name.to_owned(), port, pin };
        let secure = Pin::File("/etc/x.crt".into());
        Expected {
            address: "2001:db8::1".to_owned(),
            endpoints: vec![endpoint("http", 80, Pin::Plain), endpoint("https", 443, secure)],
            pins: Some(Pins::default()),
            questions,
            closed: vec![1],
        }
    }

    fn page(endpoint: &str, statuses: &[u16], is_listed: bool) -> Question {
        let statuses = statuses.to_vec();
        let wanted = Wanted::Page { statuses, holds: None, is_listed };
        Question { endpoint: endpoint.to_owned(), path: "/x".to_owned(), host: None, wanted }
    }

    /// A way to a server that gives one answer to everybody.
    fn says(answer: &str) -> Way {
        let script = format!("read line; printf '{answer}'");
        let words = ["sh", "-c", &script].map(str::to_owned);
        Way::Program(super::super::Program::new(words.to_vec()))
    }

    #[tokio::test]
    async fn a_redirect_leads_to_the_same_path_of_the_other_endpoint() {
        let to_https = Wanted::RedirectTo("https".to_owned());
        let redirect =
            Question { path: "/y".to_owned(), wanted: to_https, ..page("http", &[], false) };
        let expected = expected(vec![redirect]);
        let answer = |to: &str| {
            format!("HTTP/1.1 301 X\\r\\nlocation: {to}\\r\\ncontent-length: 0\\r\\n\\r\\n")
        };

        let right = probe(&says(&answer("https://[2001:db8::1]/y")), &expected).await;
        let wrong = probe(&says(&answer("http://[2001:db8::1]/y")), &expected).await;

        assert_eq!(right[0].check.name, "http://[2001:db8::1]/y");
        assert!(right[0].check.ok, "{right:?}");
        assert!(!wrong[0].check.ok && !wrong[0].is_behind, "{wrong:?}");
    }

    #[tokio::test]
    async fn an_endpoint_without_its_certificate_is_not_recognized() {
        let expected = expected(vec![page("https", &[200], false), page("other", &[200], false)]);

        let seen = probe(&says(""), &expected).await;

        let told: Vec<_> = seen.iter().map(|seen| seen.check.detail.as_str()).collect();
        let none = "the host has no certificate at `/etc/x.crt`";
        assert_eq!(told, [none, "there is no endpoint `other`"]);
    }

    #[tokio::test]
    async fn an_answer_of_500_may_come_from_behind_and_another_wrong_one_does_not() {
        let expected = expected(vec![page("http", &[200], false)]);
        let with = async |status: u16| {
            let answer = format!("HTTP/1.1 {status} X\\r\\ncontent-length: 0\\r\\n\\r\\n");
            let seen = probe(&says(&answer), &expected).await;
            (seen[0].check.ok, seen[0].is_behind)
        };

        assert_eq!(with(200).await, (true, false));
        assert_eq!(with(404).await, (false, false));
        assert_eq!(with(502).await, (false, true));
    }

    #[test]
    fn on_the_host_itself_a_list_of_addresses_may_let_in_or_not() {
        let closed = page("https", &[403], true);
        let open = page("https", &[401], true);
        let unlisted = page("https", &[200], false);

        let seen = expected(vec![closed, open, unlisted]).from_the_host_itself();

        let statuses = seen.questions.iter().map(|question| match &question.wanted {
            Wanted::Page { statuses, .. } => statuses.clone(),
            _ => Vec::new(),
        });
        let statuses: Vec<_> = statuses.collect();
        assert_eq!(statuses, [vec![403, 200, 401], vec![401, 403], vec![200]]);
        assert!(seen.closed.is_empty());
    }
}
