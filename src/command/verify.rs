//! `hwctl verify`: uses a host as a client would, all of it: every URL, redirect, header and rule.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::Request;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};

use crate::cli::VerifyArgs;
use crate::client::{Answer, HttpsConnection, Way, url_host};
use crate::command::fleet::hosts::Work;
use crate::command::fleet::{self, Ended, Job};
use crate::command::run::expected::expected;
use crate::command::run::vantage::{Vantage, web_ports};
use crate::engine::Status;
use crate::event::{Check, EventKind, Outcome};
use crate::failure::{Exit, Failure};
use crate::part::{Api, HTTP, HTTPS, Kinds, Site, Sites};
use crate::remote::{Emit, Engine};
use crate::resource::Secret;
use crate::spec::{Pin, Scope, endpoint_of, endpoints_of};

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much of a header's value is shown.
const SHORT: usize = 36;

/// Headers that every page has, and what each of them has to hold.
const HEADERS: [(&str, &str); 8] = [
    ("strict-transport-security", "max-age="),
    ("content-security-policy", "default-src 'none'"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "SAMEORIGIN"),
    ("referrer-policy", "strict-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=()"),
];

/// Runs `hwctl verify`.
pub fn run(kinds: Kinds, args: VerifyArgs) -> Result<Exit> {
    let hosts = args.hosts.and(&args.named);
    fleet::run_to(kinds, &hosts, fleet::health_report(args.json), false, args)
}

impl Job for VerifyArgs {
    const CHANGES: bool = false;

    fn needs(&self) -> Scope {
        Scope::All
    }

    async fn on_host(&self, work: &Work, emit: Emit<'_>) -> Result<Ended, Failure> {
        let mut engine = Engine::start(&work.target, emit).await?;
        let parts = work.parts();
        let Status { checks, pins } = engine.status(parts.clone(), None, emit).await?;
        let endpoints = endpoints_of(&parts);
        let certificate = pins.of(HTTPS).map(str::to_owned);
        let has_certificate = endpoints.iter().any(|it| matches!(it.pin, Pin::File(_)));
        if has_certificate && certificate.is_none() {
            return Err(Failure::new(Exit::Failed, "the host has no certificate to know it by")
                .hint("`hwctl provision` makes the stack"));
        }
        let (facts, host) = (engine.facts.clone(), engine.route.host.clone());
        let exposure = engine.exposure(emit).await?;
        let vantage = Vantage::find(&engine, &endpoints).await;
        vantage.emit(emit);
        let expected = expected(&host, work, &facts, &exposure, Some(pins));
        let mut seen = vantage.check(expected).await;
        seen.extend(web_ports(&vantage, &mut engine, &endpoints, emit).await?);
        // A host that serves nothing itself shows only from within whether it is healthy.
        let is_of_host = |check: &Check| !has_certificate || check.name == "certificate";
        seen.extend(checks.into_iter().filter(is_of_host));
        let port = |name| endpoint_of(&parts, name).map(|endpoint| endpoint.port);
        if let (Some(way), Some(certificate)) = (vantage.way(), certificate)
            && let (Some(http), Some(https)) = (port(HTTP), port(HTTPS))
        {
            let (way, host) = (way.clone(), url_host(&host));
            let client = Client { way, http, https, host, certificate };
            seen.extend(client.uses(work, vantage.client(&facts)).await);
        }
        engine.hang_up().await;
        let outcome = match seen.iter().all(|check| check.ok) {
            true => Outcome::Answered,
            false => Outcome::Failed,
        };
        emit(EventKind::Health { checks: seen });
        Ok(outcome.into())
    }
}

/// Asks one host.
struct Client {
    way: Way,
    /// The ports of HTTP and of HTTPS.
    http: u16,
    https: u16,
    host: String,
    certificate: String,
}

impl Client {
    /// All that a client does beyond looking at pages. `us` is its address as the host sees it.
    async fn uses(&self, work: &Work, us: Option<IpAddr>) -> Vec<Check> {
        let mut seen = self.redirects(work).await;
        seen.extend(self.headers().await);
        if work.part("api").is_ok() {
            seen.extend(self.api(work).await);
        }
        for (name, site) in &work.vars.get::<Sites>().0 {
            let listed = us.map(|us| site.allow.iter().any(|network| network.contains(us)));
            let is_let_in = if site.allow.is_empty() { Some(true) } else { listed };
            // A client asks by the host's own names.
            let asks = site.host.is_none() && !site.users.is_empty();
            if let (Some(is_let_in), true) = (is_let_in, asks) {
                seen.extend(self.users(name, site, is_let_in).await);
            }
        }
        seen
    }

    /// One question on a connection of its own.
    async fn ask(&self, request: hyper::http::request::Builder, body: Bytes) -> Result<Answer> {
        let asked = async {
            let pin = Some(self.certificate.as_str());
            let mut connection =
                HttpsConnection::secure(&self.way, self.https, &self.host, pin).await?;
            connection.send(request, body).await
        };
        tokio::time::timeout(PATIENCE, asked).await.context("no answer within 10 s")?
    }

    async fn redirects(&self, work: &Work) -> Vec<Check> {
        let mut checks = Vec::new();
        let path = "/some/page?with=a-query";
        let seen = async {
            let answer =
                HttpsConnection::plain(&self.way, self.http, &self.host).await?.get(path).await?;
            leads_to(&answer, &format!("https://{}{path}", self.host))
        };
        checks.push(Check::of("http:// redirects to https://", seen.await));
        let sites = work.vars.get::<Sites>().0.values();
        let (moved, sites): (Vec<_>, Vec<_>) = sites
            .filter(|site| site.is_open_at_path() && site.path != "/")
            .partition(|site| site.redirect.is_some());
        let api = work.part("api").is_ok().then_some("/flask");
        for (path, to) in
            moved.iter().filter_map(|site| Some((&site.path, site.redirect.as_ref()?)))
        {
            let answer = self.ask(Request::get(path), Bytes::new()).await;
            let seen = answer.and_then(|answer| leads_to(&answer, to));
            checks.push(Check::of(format!("{path} redirects to {to}"), seen));
        }
        for path in sites.iter().map(|site| site.path.as_str()).chain(api) {
            let answer = self.ask(Request::get(path), Bytes::new()).await;
            let seen = answer.and_then(|answer| leads_to(&answer, &format!("{path}/")));
            checks.push(Check::of(format!("{path} redirects to {path}/"), seen));
        }
        let stranger = Request::get("/").header(HOST, "not-ours.invalid");
        let seen = self.ask(stranger, Bytes::new()).await;
        checks.push(Check::of("a name that is not ours", is(seen, 421)));
        checks
    }

    async fn headers(&self) -> Vec<Check> {
        let answer = match self.ask(Request::get("/"), Bytes::new()).await {
            Ok(answer) => answer,
            Err(error) => return vec![Check::of("headers", Err(error))],
        };
        let mut checks: Vec<_> = HEADERS
            .iter()
            .map(|(name, holds)| {
                let value = answer.header(name);
                let seen = match value {
                    "" => Err(anyhow!("it is not sent")),
                    value if value.contains(holds) => Ok(shortened(value)),
                    value => Err(anyhow!("`{value}` does not hold `{holds}`")),
                };
                Check::of(format!("header {name}"), seen)
            })
            .collect();
        let server = answer.header("server");
        let seen = match server.contains(|c: char| c.is_ascii_digit()) {
            false => Ok("does not reveal its version".to_owned()),
            true => Err(anyhow!("reveals its version: `{server}`")),
        };
        checks.push(Check::of("header server", seen));
        checks
    }

    /// Logs in once, since logins are limited, and counts twice.
    async fn api(&self, work: &Work) -> Vec<Check> {
        let count = |token: &str| {
            Request::get("/flask/api/count").header(AUTHORIZATION, format!("Bearer {token}"))
        };
        let mut checks = Vec::new();
        let wrong = self.ask(count("not.a.token"), Bytes::new()).await;
        checks.push(Check::of("a count with a wrong token", is(wrong, 401)));
        let hidden = self.ask(Request::get("/flask/metrics"), Bytes::new()).await;
        checks.push(Check::of("metrics are not for clients", is(hidden, 404)));
        let (user, password) = match work.vars.get::<Api>().users.first() {
            Ok(Some(first)) => first,
            Ok(None) => {
                let seen = Err(anyhow!("the inventory has no user of the API (`api.users`)"));
                checks.push(Check::of("login", seen));
                return checks;
            }
            Err(failure) => {
                checks.push(Check::of("login", Err(failure.into())));
                return checks;
            }
        };
        let token = self.login(user, &password).await;
        let seen = token.as_ref().map(|_| format!("`{user}` gets a token"));
        checks.push(Check::of("login", seen.map_err(|error| anyhow!("`{user}`: {error:#}"))));
        let Ok(token) = token else { return checks };
        // An API without its database has nothing to count in.
        if work.part("redis").is_err() {
            return checks;
        }
        let counted = async {
            let first = visits(&self.ask(count(&token), Bytes::new()).await?)?;
            let second = visits(&self.ask(count(&token), Bytes::new()).await?)?;
            // Others may count in between.
            if second <= first {
                bail!("{first}, then {second}");
            }
            Ok(format!("{first}, then {second}"))
        };
        checks.push(Check::of("counting twice", counted.await));
        checks
    }

    async fn login(&self, user: &str, password: &Secret) -> Result<String> {
        let body = serde_json::json!({ "username": user, "password": password.expose() });
        let request = Request::post("/flask/auth/login").header(CONTENT_TYPE, "application/json");
        let answer = self.ask(request, body.to_string().into()).await?;
        match answer.status {
            200 => {}
            401 => bail!("401: the host has another password than the inventory"),
            429 => bail!("429: too many logins from here, try again in a minute"),
            status => bail!("{status}"),
        }
        let fields: serde_json::Value = serde_json::from_slice(&answer.body)?;
        Ok(fields["token"].as_str().context("the answer holds no token")?.to_owned())
    }

    /// The users of a site; from an address that is not let in the password does not help.
    async fn users(&self, name: &str, site: &Site, is_let_in: bool) -> Vec<Check> {
        let path = if site.path == "/" { "/".to_owned() } else { format!("{}/", site.path) };
        let Ok(Some((user, password))) = site.users.first() else { return Vec::new() };
        let ask = async |password: &str| {
            let login = STANDARD.encode(format!("{user}:{password}"));
            let request = Request::get(&path).header(AUTHORIZATION, format!("Basic {login}"));
            self.ask(request, Bytes::new()).await
        };
        let (right, wrong) = if is_let_in { (200, 401) } else { (403, 403) };
        let seen = is(ask(password.expose()).await, right);
        let mut checks = vec![Check::of(format!("{name} with `{user}`'s password"), seen)];
        let seen = is(ask("certainly not the password").await, wrong);
        checks.push(Check::of(format!("{name} with a wrong password"), seen));
        checks
    }
}

/// As much of a header as tells which it is.
fn shortened(value: &str) -> String {
    match value.char_indices().nth(SHORT) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

fn is(answer: Result<Answer>, status: u16) -> Result<String> {
    match answer?.status {
        seen if seen == status => Ok(seen.to_string()),
        seen => Err(anyhow!("{seen} instead of {status}")),
    }
}

fn leads_to(answer: &Answer, place: &str) -> Result<String> {
    let (status, location) = (answer.status, answer.header("location"));
    if (300..400).contains(&status) && location == place {
        return Ok(status.to_string());
    }
    bail!("{status} to `{location}` instead of `{place}`")
}

fn visits(answer: &Answer) -> Result<u64> {
    if answer.status != 200 {
        let fields: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match fields["error"]["message"].as_str() {
            Some(why) => bail!("{}: {why}", answer.status),
            None => bail!("{}", answer.status),
        }
    }
    let fields: serde_json::Value = serde_json::from_slice(&answer.body)?;
    fields["visits"].as_u64().context("the answer holds no count")
}
