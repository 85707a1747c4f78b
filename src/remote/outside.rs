//! Looks at a host as a client would: HTTPS, redirects, access rules, the API through nginx, the
//! served certificate, and that ports which are not declared do not answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::header::{HOST, LOCATION};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::resource::sha256;

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a port that should be closed is knocked at.
const KNOCK: Duration = Duration::from_millis(400);

/// What a host should look like from outside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Expected {
    /// Address or name that it is reached by.
    pub address: String,
    /// SHA-256 of the certificate (DER) in hex.
    pub certificate: String,
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
}

/// What was looked at and seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Such as `https://203.0.113.7/open/`.
    pub name: String,
    /// Whether it was as it should be.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
    /// Whether what is wrong may lie behind nginx: an answer of 500 or more, or none in time.
    pub behind: bool,
}

impl Check {
    /// What was looked at by this name, and what was seen.
    #[must_use]
    pub fn new(name: impl Into<String>, ok: bool, detail: impl Into<String>) -> Self {
        Self { name: name.into(), ok, detail: detail.into(), behind: false }
    }

    fn of(name: String, seen: Result<String>) -> Self {
        match seen {
            Ok(detail) => Self::new(name, true, detail),
            Err(error) => {
                let behind = error.downcast_ref::<Behind>().is_some();
                Self { behind, ..Self::new(name, false, format!("{error:#}")) }
            }
        }
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

/// The way to a host.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Its address.
    pub to: IpAddr,
    /// The address to come from; the system's choice when absent.
    pub from: Option<IpAddr>,
}

impl Way {
    async fn open(self, port: u16) -> Result<TcpStream> {
        let socket = match self.to {
            IpAddr::V4(_) => TcpSocket::new_v4()?,
            IpAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if let Some(from) = self.from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        Ok(socket.connect(SocketAddr::new(self.to, port)).await?)
    }
}

/// Looks at everything at once.
pub async fn look(expected: &Expected) -> Vec<Check> {
    match resolve(&expected.address).await {
        Ok(to) => look_by(Way { to, from: None }, expected).await,
        Err(error) => vec![Check::of(expected.address.clone(), Err(error))],
    }
}

/// The same by a given way.
pub async fn look_by(way: Way, expected: &Expected) -> Vec<Check> {
    let shown = match expected.address.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => expected.address.clone(),
    };
    let redirect = async {
        let name = format!("http://{shown}/");
        vec![Check::of(name, within(redirects(way, &shown)).await)]
    };
    let pages = async {
        let mut checks = Vec::new();
        for page in &expected.pages {
            let name = format!("https://{shown}{}", page.path);
            let seen = within(answers(way, &shown, page, &expected.certificate)).await;
            checks.push(Check::of(name, seen));
        }
        checks
    };
    let closed = async {
        if expected.closed.is_empty() {
            return Vec::new();
        }
        let knocks = expected.closed.iter().map(|port| async move {
            let answer = timeout(KNOCK, way.open(*port)).await;
            matches!(answer, Ok(Ok(_))).then_some(*port)
        });
        let open: Vec<_> = futures_util::future::join_all(knocks).await;
        let open: Vec<_> = open.into_iter().flatten().map(|port| port.to_string()).collect();
        let seen = match open.is_empty() {
            true => Ok(format!("{} ports do not answer", expected.closed.len())),
            false => Err(anyhow!("port {} answers", open.join(", "))),
        };
        vec![Check::of("undeclared ports".to_owned(), seen)]
    };
    let (redirect, pages, closed) = tokio::join!(redirect, pages, closed);
    [redirect, pages, closed].concat()
}

async fn within(look: impl Future<Output = Result<String>>) -> Result<String> {
    timeout(PATIENCE, look).await.map_err(|_| Behind("no answer within 5 s".to_owned()))?
}

/// The address of a name: the resolver's, since a static binary cannot load libc's.
async fn resolve(address: &str) -> Result<IpAddr> {
    if let Ok(ip) = address.parse() {
        return Ok(ip);
    }
    let resolver = hickory_resolver::TokioResolver::builder_tokio()?.build()?;
    let found = resolver.lookup_ip(address).await;
    let found = found.with_context(|| format!("cannot resolve `{address}`"))?;
    found.iter().next().with_context(|| format!("`{address}` has no address"))
}

async fn redirects(way: Way, host: &str) -> Result<String> {
    let stream = way.open(80).await?;
    let (status, location, _) = get(stream, host, "/").await?;
    let location = location.unwrap_or_default();
    if !status.is_redirection() || location != format!("https://{host}/") {
        bail!("{status}, to `{location}` instead of HTTPS");
    }
    Ok(format!("{} to {location}", status.as_u16()))
}

async fn answers(way: Way, host: &str, page: &Page, certificate: &str) -> Result<String> {
    let config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned(certificate.to_owned())))
        .with_no_client_auth();
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
    let stream = way.open(443).await?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let (status, _, body) = get(stream, host, &page.path).await?;
    if !page.statuses.contains(&status.as_u16()) {
        let wanted: Vec<_> = page.statuses.iter().map(u16::to_string).collect();
        let wrong = format!("{status} instead of {}", wanted.join(" or "));
        return Err(match status.is_server_error() {
            true => Behind(wrong).into(),
            false => anyhow!(wrong),
        });
    }
    if let Some(text) = &page.holds
        && !String::from_utf8_lossy(&body).contains(text)
    {
        bail!("{status}, but the answer does not hold `{text}`");
    }
    Ok(status.as_u16().to_string())
}

async fn get(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    host: &str,
    path: &str,
) -> Result<(StatusCode, Option<String>, Bytes)> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path).header(HOST, host).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let location = location.map(str::to_owned);
    let body = response.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok((status, location, body))
}

/// Accepts one certificate, known by its fingerprint, and no other.
#[derive(Debug)]
struct Pinned(String);

fn algorithms() -> WebPkiSupportedAlgorithms {
    rustls::crypto::ring::default_provider().signature_verification_algorithms
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = sha256(end_entity);
        if found == self.0 {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::General(format!("it serves another certificate (SHA-256 {found})")))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}
