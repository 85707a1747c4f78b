//! Looks at a host as a client would: HTTPS, redirects, access rules, the API through nginx, the
//! served certificate, and that ports which are not declared do not answer.

use std::net::IpAddr;
#[cfg(target_os = "linux")]
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use futures_util::future::join_all;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::route::Route;
use crate::event::Check;
use crate::https::{self, Connection, Way};

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a port that should be closed is knocked at, in times that HTTPS takes to answer a knock.
const KNOCKS: u32 = 5;
/// But not shorter and not longer than this.
const KNOCK: (Duration, Duration) = (Duration::from_millis(150), Duration::from_secs(2));

/// What a host should look like from outside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Expected {
    /// Address or name that it is reached by.
    pub address: String,
    /// SHA-256 of the certificate (DER) in hex; none: any.
    pub certificate: Option<String>,
    /// Paths on HTTPS and what they answer.
    pub pages: Vec<Page>,
    /// TCP ports that must not answer.
    pub closed: Vec<u16>,
}

/// A path and what it answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Page {
    /// Such as `/open/`.
    pub path: String,
    /// Status codes that are right.
    pub statuses: Vec<u16>,
    /// Text that the body holds.
    pub holds: Option<String>,
    /// Whether the answer depends on the client's address.
    #[serde(default)]
    pub is_listed: bool,
}

/// What was looked at and seen.
#[derive(Clone, Debug)]
pub struct Look {
    /// What was seen.
    pub check: Check,
    /// Whether what is wrong may lie behind nginx: an answer of 500 or more, or none in time.
    pub behind: bool,
}

impl Look {
    fn of(name: String, seen: Result<String>) -> Self {
        let behind = seen.as_ref().is_err_and(|error| error.downcast_ref::<Behind>().is_some());
        Self { check: Check::of(name, seen), behind }
    }
}

/// What is wrong may lie behind nginx.
#[derive(Debug)]
struct Behind(String);

impl std::fmt::Display for Behind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Behind {}

/// The check of the ports that must not answer.
const PORTS: &str = "undeclared ports";

impl Expected {
    /// The same for a client on the host itself, which no list of addresses of a site may know.
    #[must_use]
    pub fn from_the_host_itself(mut self) -> Self {
        for page in &mut self.pages {
            if page.statuses == [403] {
                page.statuses.extend([200, 401]);
            } else if page.is_listed {
                page.statuses.push(403);
            }
        }
        self.closed.clear();
        self
    }

    /// The names of all checks.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let shown = shown(&self.address);
        let pages = self.pages.iter().map(|page| format!("https://{shown}{}", page.path));
        [format!("http://{shown}/"), PORTS.to_owned()].into_iter().chain(pages).collect()
    }
}

/// Looks at everything at once.
pub async fn look_by(way: &Way, expected: &Expected) -> Vec<Look> {
    let shown = shown(&expected.address);
    let redirect = async {
        let name = format!("http://{shown}/");
        vec![Look::of(name, within(redirects(way, &shown)).await)]
    };
    let pages = join_all(expected.pages.iter().map(async |page| {
        let certificate = expected.certificate.as_deref();
        let seen = within(answers(way, &shown, page, certificate)).await;
        Look::of(format!("https://{shown}{}", page.path), seen)
    }));
    let closed = async {
        // A program connects before it is known whether the port does.
        if expected.closed.is_empty() || matches!(way, Way::Program(_)) {
            return Vec::new();
        }
        let patience = patience(way).await;
        let knocks = expected.closed.iter().map(|port| async move {
            let answer = timeout(patience, way.open(*port)).await;
            matches!(answer, Ok(Ok(_))).then_some(*port)
        });
        let open: Vec<_> = join_all(knocks).await;
        let open: Vec<_> = open.into_iter().flatten().map(|port| port.to_string()).collect();
        let seen = match open.is_empty() {
            true => Ok(format!("{} ports do not answer", expected.closed.len())),
            false => Err(anyhow!("port {} answers", open.join(", "))),
        };
        vec![Look::of(PORTS.to_owned(), seen)]
    };
    let (redirect, pages, closed) = tokio::join!(redirect, pages, closed);
    [redirect, pages, closed].concat()
}

/// How long to knock at a port: an open one answers a far client later.
async fn patience(way: &Way) -> Duration {
    let since = Instant::now();
    let answer = timeout(KNOCK.1 / KNOCKS, way.open(443)).await;
    match answer {
        // A refusal is an answer too.
        Ok(_) => (since.elapsed() * KNOCKS).clamp(KNOCK.0, KNOCK.1),
        Err(_) => KNOCK.1,
    }
}

async fn within(look: impl Future<Output = Result<String>>) -> Result<String> {
    timeout(PATIENCE, look).await.map_err(|_| Behind("no answer within 5 s".to_owned()))?
}

/// An address or name as it stands in a URL.
#[must_use]
pub fn shown(address: &str) -> String {
    match address.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => address.to_owned(),
    }
}

/// The address of a name, as ssh finds it.
pub(super) async fn resolve(address: &str) -> Result<IpAddr> {
    if let Ok(ip) = address.parse() {
        return Ok(ip);
    }
    let found = look_up(address).await;
    let found = found.with_context(|| format!("cannot resolve `{address}`"))?;
    found.with_context(|| format!("`{address}` has no address"))
}

/// By libc's own program: a static binary cannot load what libc looks names up with.
#[cfg(target_os = "linux")]
async fn look_up(name: &str) -> Result<Option<IpAddr>> {
    let mut getent = tokio::process::Command::new("getent");
    let output = getent.args(["ahosts", "--", name]).stdin(Stdio::null()).output().await;
    let output = output.context("run `getent`")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split_whitespace().next().and_then(|address| address.parse().ok()))
}

#[cfg(not(target_os = "linux"))]
async fn look_up(name: &str) -> Result<Option<IpAddr>> {
    Ok(tokio::net::lookup_host((name, 0)).await?.next().map(|found| found.ip()))
}

async fn redirects(way: &Way, host: &str) -> Result<String> {
    let answer = Connection::plain(way.clone(), host).await?.get("/").await?;
    let (status, location) = (answer.status, answer.header("location"));
    if !(300..400).contains(&status) || location != format!("https://{host}/") {
        bail!("{}, to `{location}` instead of HTTPS", status_text(status));
    }
    Ok(format!("{status} to {location}"))
}

/// SHA-256 of the certificate (DER) that is served, in hex.
pub async fn served_certificate(way: &Way, host: &str) -> Result<String> {
    let look = https::served_certificate(way.clone(), host);
    timeout(PATIENCE, look).await.map_err(|_| anyhow!("no answer within 5 s"))?
}

/// The status that a client gets at `path`, whatever the certificate.
pub async fn status(route: &Route, path: &str) -> Result<u16> {
    let way = route.way().await?;
    let look = async {
        let host = shown(&route.host);
        let answer = Connection::secure(way, &host, None).await?.get(path).await?;
        Ok(answer.status)
    };
    timeout(PATIENCE, look).await.map_err(|_| anyhow!("no answer within 5 s"))?
}

async fn answers(way: &Way, host: &str, page: &Page, certificate: Option<&str>) -> Result<String> {
    let answer = Connection::secure(way.clone(), host, certificate).await?.get(&page.path).await?;
    let status = status_text(answer.status);
    if !page.statuses.contains(&answer.status) {
        let wanted: Vec<_> = page.statuses.iter().map(u16::to_string).collect();
        let wrong = format!("{status} instead of {}", wanted.join(" or "));
        return Err(match answer.status >= 500 {
            true => Behind(wrong).into(),
            false => anyhow!(wrong),
        });
    }
    if let Some(text) = &page.holds
        && !String::from_utf8_lossy(&answer.body).contains(text)
    {
        bail!("{status}, but the answer does not hold `{text}`");
    }
    Ok(answer.status.to_string())
}

/// Such as `502 Bad Gateway`.
fn status_text(status: u16) -> String {
    StatusCode::from_u16(status).map_or_else(|_| status.to_string(), |status| status.to_string())
}
