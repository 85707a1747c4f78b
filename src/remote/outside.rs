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
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::resource::sha256;

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a port that should be closed is knocked at.
const KNOCK: Duration = Duration::from_millis(400);

/// What a host should look like from outside.
#[derive(Clone, Debug)]
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
#[derive(Clone, Debug)]
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
}

impl Check {
    fn of(name: String, seen: Result<String>) -> Self {
        match seen {
            Ok(detail) => Self { name, ok: true, detail },
            Err(error) => Self { name, ok: false, detail: format!("{error:#}") },
        }
    }
}

/// The check of the ports that must not answer.
const PORTS: &str = "undeclared ports";

impl Expected {
    /// The address as it stands in a URL.
    fn shown(&self) -> String {
        match self.address.parse::<std::net::Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => self.address.clone(),
        }
    }

    /// The names of all checks.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let shown = self.shown();
        let pages = self.pages.iter().map(|page| format!("https://{shown}{}", page.path));
        [format!("http://{shown}/"), PORTS.to_owned()].into_iter().chain(pages).collect()
    }
}

/// Looks at everything at once.
pub async fn look(expected: &Expected) -> Vec<Check> {
    let ip = match resolve(&expected.address).await {
        Ok(ip) => ip,
        Err(error) => return vec![Check::of(expected.address.clone(), Err(error))],
    };
    let shown = expected.shown();
    let redirect = async {
        let name = format!("http://{shown}/");
        vec![Check::of(name, within(redirects(ip, &shown)).await)]
    };
    let pages = async {
        let mut checks = Vec::new();
        for page in &expected.pages {
            let name = format!("https://{shown}{}", page.path);
            let seen = within(answers(ip, &shown, page, expected.certificate.as_ref())).await;
            checks.push(Check::of(name, seen));
        }
        checks
    };
    let closed = async {
        if expected.closed.is_empty() {
            return Vec::new();
        }
        let knocks = expected.closed.iter().map(|port| async move {
            let answer = timeout(KNOCK, TcpStream::connect((ip, *port))).await;
            matches!(answer, Ok(Ok(_))).then_some(*port)
        });
        let open: Vec<_> = futures_util::future::join_all(knocks).await;
        let open: Vec<_> = open.into_iter().flatten().map(|port| port.to_string()).collect();
        let seen = match open.is_empty() {
            true => Ok(format!("{} ports do not answer", expected.closed.len())),
            false => Err(anyhow!("port {} answers", open.join(", "))),
        };
        vec![Check::of(PORTS.to_owned(), seen)]
    };
    let (redirect, pages, closed) = tokio::join!(redirect, pages, closed);
    [redirect, pages, closed].concat()
}

async fn within(look: impl Future<Output = Result<String>>) -> Result<String> {
    timeout(PATIENCE, look).await.map_err(|_| anyhow!("no answer within 5 s"))?
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

async fn redirects(ip: IpAddr, host: &str) -> Result<String> {
    let stream = TcpStream::connect(SocketAddr::new(ip, 80)).await?;
    let (status, location, _) = get(stream, host, "/").await?;
    let location = location.unwrap_or_default();
    if !status.is_redirection() || location != format!("https://{host}/") {
        bail!("{status}, to `{location}` instead of HTTPS");
    }
    Ok(format!("{} to {location}", status.as_u16()))
}

/// SHA-256 of the certificate (DER) that is served at `address`, in hex.
pub async fn served_certificate(address: &str) -> Result<String> {
    let ip = resolve(address).await?;
    let look = async {
        let stream = connect(ip, address, None).await?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        chain.first().map(|own| sha256(own)).context("it serves no certificate")
    };
    timeout(PATIENCE, look).await.map_err(|_| anyhow!("no answer within 5 s"))?
}

/// The status that a client gets at `path`, whatever the certificate.
pub async fn status(address: &str, path: &str) -> Result<u16> {
    let ip = resolve(address).await?;
    let look = async {
        let stream = connect(ip, address, None).await?;
        get(stream, address, path).await.map(|(status, ..)| status.as_u16())
    };
    timeout(PATIENCE, look).await.map_err(|_| anyhow!("no answer within 5 s"))?
}

async fn connect(
    ip: IpAddr,
    host: &str,
    certificate: Option<&String>,
) -> Result<TlsStream<TcpStream>> {
    let config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned(certificate.cloned())))
        .with_no_client_auth();
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
    let stream = TcpStream::connect(SocketAddr::new(ip, 443)).await?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
}

async fn answers(
    ip: IpAddr,
    host: &str,
    page: &Page,
    certificate: Option<&String>,
) -> Result<String> {
    let stream = connect(ip, host, certificate).await?;
    let (status, _, body) = get(stream, host, &page.path).await?;
    if !page.statuses.contains(&status.as_u16()) {
        let wanted: Vec<_> = page.statuses.iter().map(u16::to_string).collect();
        bail!("{status} instead of {}", wanted.join(" or "));
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

/// Accepts one certificate, known by its fingerprint, and no other; without one, any.
#[derive(Debug)]
struct Pinned(Option<String>);

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
        if self.0.as_ref().is_none_or(|pinned| *pinned == found) {
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
