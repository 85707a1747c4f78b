//! How a client names endpoints in URLs, and what it recognizes them by.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use crate::resource::{Host, fingerprint};
use crate::spec::{Endpoint, Pin};

/// The URL of a path of an endpoint, for a client that asks for `host` (see [`url_host`]).
#[must_use]
pub fn url(endpoint: &Endpoint, host: &str, path: &str) -> String {
    let (scheme, usual) = match endpoint.pin {
        Pin::Plain => ("http", 80),
        Pin::File(_) | Pin::Behind => ("https", 443),
    };
    match endpoint.port {
        port if port == usual => format!("{scheme}://{host}{path}"),
        port => format!("{scheme}://{host}:{port}{path}"),
    }
}

/// The certificates that endpoints serve, by the names of the endpoints: SHA-256 of each (DER), in hex.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pins(BTreeMap<String, String>);

impl Pins {
    /// Reads the certificates of `endpoints` on their host. An endpoint whose file is missing or holds no
    /// certificate has no pin.
    #[must_use]
    pub fn read(endpoints: &[Endpoint], host: &Host) -> Self {
        let pin = |endpoint: &Endpoint| match &endpoint.pin {
            Pin::File(path) => Some((endpoint.name.clone(), fingerprint(&host.path(path)).ok()?)),
            Pin::Plain | Pin::Behind => None,
        };
        Self(endpoints.iter().filter_map(pin).collect())
    }

    /// The certificate of the endpoint with this name.
    #[must_use]
    pub fn of(&self, endpoint: &str) -> Option<&str> {
        self.0.get(endpoint).map(String::as_str)
    }

    /// Whether a client could recognize any of `endpoints`, or needs no certificate for any of them.
    #[must_use]
    pub fn recognize_any(&self, endpoints: &[Endpoint]) -> bool {
        let has_certificate = |endpoint: &&Endpoint| matches!(endpoint.pin, Pin::File(_));
        let mut secure = endpoints.iter().filter(has_certificate).peekable();
        secure.peek().is_none() || secure.any(|endpoint| self.of(&endpoint.name).is_some())
    }
}

/// An address or name as it stands in a URL: an IPv6 address has brackets there.
#[must_use]
pub fn url_host(address: &str) -> String {
    match address.parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(name: &str, port: u16, pin: Pin) -> Endpoint {
        Endpoint { name: name.to_owned(), port, pin }
    }

    fn tls() -> Pin {
        Pin::File("/etc/x.crt".into())
    }

    #[test]
    fn a_port_is_in_a_url_unless_it_is_the_usual_one() {
        let host = url_host("2001:db8::1");

        assert_eq!(url(&endpoint("a", 80, Pin::Plain), &host, "/"), "http://[2001:db8::1]/");
        assert_eq!(url(&endpoint("a", 443, tls()), "h", "/x"), "https://h/x");
        assert_eq!(url(&endpoint("a", 80, tls()), "h", "/x"), "https://h:80/x");
        assert_eq!(url(&endpoint("a", 8080, Pin::Plain), "h", "/"), "http://h:8080/");
    }

    #[test]
    fn a_host_without_certificates_is_recognized_only_where_it_serves_none() {
        let none = Pins::default();

        assert!(none.recognize_any(&[]));
        assert!(none.recognize_any(&[endpoint("http", 80, Pin::Plain)]));
        assert!(
            !none.recognize_any(&[endpoint("http", 80, Pin::Plain), endpoint("https", 443, tls())])
        );
    }
}
