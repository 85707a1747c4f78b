//! Asks a registry itself whether it has an image, for a host whose Docker is still to be installed. What cannot be found out
//! so, Docker tells when it pulls.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1::handshake;
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::registry::{connect, registry_of};
use super::{Image, RegistryLogin};
use crate::resource::host::Host;
use crate::resource::model::hint::Advise as _;

/// How long all questions together may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// No token is that long, in bytes.
const MAX_ANSWER: usize = 256 << 10;
/// The authorities that the host trusts, as Docker will.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// What a manifest may be.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// What a registry answered.
struct Answer {
    status: u16,
    /// How it wants to know who asks.
    challenge: String,
    body: Bytes,
}

impl Image {
    /// Fails if the registry says that it has no such image, or none for this login.
    pub(super) async fn require_in_registry(&self, host: &Host) -> Result<()> {
        let Ok(Ok(answer)) = timeout(TIMEOUT, self.ask_registry(host)).await else { return Ok(()) };
        let registry = match registry_of(&self.reference) {
            (name, 443) => name,
            (name, port) => format!("{name}:{port}"),
        };
        let told = match answer {
            401 | 403 => {
                format!(
                    "the registry `{registry}` denies access ({answer}): the login is wrong, or the image does not exist"
                )
            }
            404 => format!("the registry `{registry}` does not have it (404)"),
            _ => return Ok(()),
        };
        Err(anyhow!(told)).hint(format!(
            "check the name and tag in `{}`, and that the login in `{}` has permission to pull it",
            self.setting("image"),
            self.setting("registry")
        ))
    }

    /// The status with which the registry answers to a question for the image.
    async fn ask_registry(&self, host: &Host) -> Result<u16> {
        let (repository, version) = name_and_version(&self.reference);
        let (registry, port) = registry_of(&self.reference);
        let path = format!("/v2/{repository}/manifests/{version}");
        let at = (registry.as_str(), port);
        let first = ask(&Method::HEAD, at, &path, None, host).await?;
        if first.status != 401 {
            return Ok(first.status);
        }
        let authorization = match Challenge::of(&first.challenge) {
            Some(Challenge::Bearer { realm, service }) => {
                let query = format!("service={service}&scope=repository:{repository}:pull");
                let (token_at, token_path) = address_of(&realm).context("no address of tokens")?;
                let path = format!("{token_path}?{}", query.replace(' ', "%20"));
                let at = (token_at.as_str(), 443);
                let basic = self.login.as_ref().map(basic);
                let answer = ask(&Method::GET, at, &path, basic.as_deref(), host).await?;
                if answer.status != 200 {
                    return Ok(answer.status);
                }
                format!("Bearer {}", token(&answer.body).context("no token")?)
            }
            Some(Challenge::Basic) => match &self.login {
                Some(login) => basic(login),
                None => return Ok(401),
            },
            None => anyhow::bail!("the registry asks in another way who asks"),
        };
        Ok(ask(&Method::HEAD, at, &path, Some(&authorization), host).await?.status)
    }
}

/// How a registry wants to know who asks.
#[derive(Debug, PartialEq)]
enum Challenge {
    /// By user and password.
    Basic,
    /// By a token, which somebody else gives out.
    Bearer { realm: String, service: String },
}

impl Challenge {
    /// Reads a header such as `Bearer realm="https://auth.example.com/token",service="registry.example.com"`.
    fn of(header: &str) -> Option<Self> {
        let (kind, rest) = header.split_once(' ')?;
        let field = |name: &str| {
            let (_, value) = rest.split_once(&format!("{name}=\""))?;
            Some(value.split_once('"')?.0.to_owned())
        };
        if kind.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        let is_bearer = kind.eq_ignore_ascii_case("bearer");
        let (realm, service) = (field("realm"), field("service").unwrap_or_default());
        is_bearer.then_some(Self::Bearer { realm: realm?, service })
    }
}

/// The repository in an image's name, and its tag or digest.
fn name_and_version(reference: &str) -> (String, &str) {
    let has_registry = |first: &str| first.contains(['.', ':']) || first == "localhost";
    let (is_hub, rest) = match reference.split_once('/') {
        Some(("docker.io" | "index.docker.io", rest)) => (true, rest),
        Some((first, rest)) if has_registry(first) => (false, rest),
        _ => (true, reference),
    };
    let (name, digest) = rest.split_once('@').map_or((rest, None), |(n, d)| (n, Some(d)));
    // A tag comes after the last slash.
    let tagged = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
    let (name, tag) = tagged.unwrap_or((name, "latest"));
    let library = if is_hub && !name.contains('/') { "library/" } else { "" };
    (format!("{library}{name}"), digest.unwrap_or(tag))
}

/// The name and the path of an address of HTTPS. Passwords go over no other.
fn address_of(realm: &str) -> Option<(String, String)> {
    let rest = realm.strip_prefix("https://")?;
    let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
    (!name.contains([':', '@'])).then(|| (name.to_owned(), format!("/{path}")))
}

fn basic(login: &RegistryLogin) -> String {
    let RegistryLogin { user, password } = login;
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{}", password.expose())))
}

fn token(body: &[u8]) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let token = ["token", "access_token"].into_iter().find_map(|name| answer[name].as_str());
    token.map(str::to_owned)
}

/// Asks on the loopback without TLS, as Docker may, and with TLS everywhere else.
async fn ask(
    method: &Method,
    (name, port): (&str, u16),
    path: &str,
    authorization: Option<&str>,
    host: &Host,
) -> Result<Answer> {
    let stream = connect(name, port, host).await?;
    let mut request = Request::builder().method(method).uri(path).header(ACCEPT, MANIFESTS);
    request =
        request.header(HOST, if port == 443 { name.to_owned() } else { format!("{name}:{port}") });
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let request = request.body(Empty::new())?;
    let is_loopback = name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    if is_loopback {
        return send(stream, request).await;
    }
    let server = ServerName::try_from(name.to_owned())?;
    let config = Arc::new(trusting(host)?);
    send(TlsConnector::from(config).connect(server, stream).await?, request).await
}

/// TLS that trusts whom the host trusts.
fn trusting(host: &Host) -> Result<ClientConfig> {
    let bundle = fs::read(host.path(Path::new(AUTHORITIES)))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&bundle).flatten());
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<Answer> {
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(async move { drop(connection.await) });
    let answer = async {
        let response = sender.send_request(request).await?;
        let header = response.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let (status, challenge) =
            (response.status().as_u16(), header.unwrap_or_default().to_owned());
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| anyhow!("{error}"))?.to_bytes();
        Ok(Answer { status, challenge, body })
    };
    let answer = answer.await;
    driver.abort();
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_and_the_version_are_in_the_name() {
        for (reference, repository, version) in [
            ("redis:7-alpine", "library/redis", "7-alpine"),
            ("docker.io/redis", "library/redis", "latest"),
            ("bitnami/redis:7", "bitnami/redis", "7"),
            ("ghcr.io/a/redis@sha256:0", "a/redis", "sha256:0"),
            ("ghcr.io/a/redis:1@sha256:0", "a/redis", "sha256:0"),
            ("127.0.0.1:5000/redis:7", "redis", "7"),
            ("localhost:5000/team/shop", "team/shop", "latest"),
        ] {
            assert_eq!(
                name_and_version(reference),
                (repository.to_owned(), version),
                "{reference}"
            );
        }
    }

    #[test]
    fn a_challenge_says_where_tokens_are() {
        let header = r#"Bearer realm="https://auth.example.com/token",service="registry.example.com",scope="x""#;
        let (realm, service) =
            ("https://auth.example.com/token".to_owned(), "registry.example.com".to_owned());

        assert_eq!(
            Challenge::of(header),
            Some(Challenge::Bearer { realm: realm.clone(), service })
        );
        assert_eq!(Challenge::of(r#"Basic realm="lab""#), Some(Challenge::Basic));
        assert_eq!(Challenge::of("Negotiate x"), None);
        assert_eq!(address_of(&realm), Some(("auth.example.com".into(), "/token".into())));
        for hostile in ["http://auth.example.com/", "https://a@b/", "https://a:22/", "file:///etc"]
        {
            assert_eq!(address_of(hostile), None, "{hostile}");
        }
    }
}
