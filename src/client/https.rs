//! An HTTP client that knows a host by its certificate's fingerprint and trusts no other.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HOST;
use hyper::http::request::Builder;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::way::{Stream, Way};
use crate::resource::sha256;

/// How much of a body is read: more than any page that a check looks into.
const MAX_BODY: usize = 4 << 20;

/// One connection to a host; requests go one after the other.
#[derive(Debug)]
pub struct HttpsConnection {
    host: String,
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// A header's text; empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl HttpsConnection {
    /// HTTP without TLS on a port, asked for as `host`.
    pub async fn plain(way: &Way, port: u16, host: &str) -> Result<Self> {
        Self::over(way.open(port).await?, host).await
    }

    /// HTTPS on a port, asked for as `host`; `certificate` is the SHA-256 of the only certificate
    /// (DER) that is accepted, in hex; without it any is.
    pub async fn secure(
        way: &Way,
        port: u16,
        host: &str,
        certificate: Option<&str>,
    ) -> Result<Self> {
        let stream = connect(way, port, host, certificate).await?;
        Self::over(stream, host).await
    }

    async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        host: &str,
    ) -> Result<Self> {
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move {
            // An error of the connection is that of the request on it.
            let _ = connection.await;
        });
        Ok(Self { host: host.to_owned(), sender, driver })
    }

    /// Asks for a path.
    pub async fn get(&mut self, path: &str) -> Result<Answer> {
        self.send(Request::get(path), Bytes::new()).await
    }

    /// Sends any request; the host's name is added unless it has one.
    pub async fn send(&mut self, request: Builder, body: Bytes) -> Result<Answer> {
        let named = request.headers_ref().is_some_and(|headers| headers.contains_key(HOST));
        let request = if named { request } else { request.header(HOST, &self.host) };
        self.sender.ready().await?;
        let response = self.sender.send_request(request.body(Full::new(body))?).await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = bounded(response.into_body()).await?;
        Ok(Answer { status, headers, body })
    }
}

/// The body up to [`MAX_BODY`]: a host may send one that never ends.
async fn bounded(mut body: Incoming) -> Result<Bytes> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            read.extend_from_slice(&data[..data.len().min(MAX_BODY - read.len())]);
        }
        if read.len() == MAX_BODY {
            break;
        }
    }
    Ok(read.freeze())
}

impl Drop for HttpsConnection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn connect(
    way: &Way,
    port: u16,
    host: &str,
    certificate: Option<&str>,
) -> Result<TlsStream<Box<dyn Stream>>> {
    let config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned(certificate.map(str::to_owned))))
        .with_no_client_auth();
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
    let stream = way.open(port).await?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
}

/// SHA-256 of the certificate (DER) that a port serves to those who ask for `host`, in hex.
pub async fn served_certificate(way: &Way, port: u16, host: &str) -> Result<String> {
    let stream = connect(way, port, host, None).await?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    chain.first().map(|own| sha256(own)).context("it serves no certificate")
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn a_body_without_end_is_read_up_to_a_bound() {
        let (ours, mut theirs) = duplex(64 << 10);
        tokio::spawn(async move {
            let mut request = [0; 4];
            theirs.read_exact(&mut request).await?;
            theirs.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                theirs.write_all(&[b'x'; 4096]).await?;
            }
            #[expect(unreachable_code, reason = "tells the type of the block")]
            std::io::Result::Ok(())
        });
        let mut connection = HttpsConnection::over(ours, "host").await.unwrap();

        let answer = connection.get("/").await.unwrap();

        assert_eq!((answer.status, answer.body.len()), (200, MAX_BODY));
    }
}
