//! Which texts are usable: they become parts of nginx, systemd, Docker and ufw configuration.

use std::net::IpAddr;
use std::path::PathBuf;

/// Letters, digits and these.
fn only(text: &str, others: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

/// An absolute path that needs no quoting anywhere.
pub(crate) fn host_path(text: &str) -> Option<PathBuf> {
    let parts = text.strip_prefix('/')?.trim_end_matches('/');
    let fits = !parts.is_empty()
        && only(parts, "._-+@/")
        && parts.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    fits.then(|| PathBuf::from(text.trim_end_matches('/')))
}

/// A path on the operator's machine.
pub(crate) fn local_path(text: &str) -> Option<PathBuf> {
    let fits = !text.is_empty() && !text.chars().any(char::is_control);
    fits.then(|| PathBuf::from(text))
}

/// A path of a URL, such as `/open`.
pub(crate) fn url_path(text: &str) -> Option<String> {
    if text == "/" {
        return Some(text.to_owned());
    }
    let fits = |part: &str| only(part, "._~-") && part != "." && part != "..";
    text.strip_prefix('/')?.split('/').all(fits).then(|| text.to_owned())
}

/// The name of a site: it becomes part of file names.
pub(crate) fn site_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    !text.is_empty() && text.len() <= 64 && !text.starts_with('-') && text.chars().all(fits)
}

/// The name of a Debian package (Debian Policy, 5.6.1).
pub(crate) fn package(text: &str) -> Option<String> {
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    (text.len() >= 2 && starts && text.chars().all(fits)).then(|| text.to_owned())
}

/// The name of a container or volume, as Docker takes it.
pub(crate) fn docker_name(text: &str) -> Option<String> {
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    (text.len() >= 2 && text.len() <= 255 && starts && only(text, "_.-")).then(|| text.to_owned())
}

/// An image reference: `redis:7-alpine`, `registry.example:5000/team/redis@sha256:…`.
pub(crate) fn image(text: &str) -> Option<String> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => {
            (Some(first), path)
        }
        _ => (None, name),
    };
    let lower = |part: &str| {
        only(part, "._-")
            && part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && !part.contains(|c: char| c.is_ascii_uppercase())
    };
    let fits = path.split('/').all(lower)
        && registry.is_none_or(|registry| only(registry, ".-:"))
        && tag
            .is_none_or(|tag| tag.len() <= 128 && only(tag, "._-") && !tag.starts_with(['.', '-']))
        && digest.is_none_or(|digest| {
            digest
                .strip_prefix("sha256:")
                .is_some_and(|hash| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
        });
    fits.then(|| text.to_owned())
}

/// A host name or an IP address that clients ask for.
pub(crate) fn server_name(text: &str) -> Option<String> {
    if text.parse::<IpAddr>().is_ok() {
        return Some(text.to_owned());
    }
    let label = |label: &str| {
        only(label, "-") && label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-')
    };
    let number =
        text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    (text.len() <= 253 && !number && text.split('.').all(label)).then(|| text.to_owned())
}

/// The name of someone who logs in: a field of `.htpasswd`.
pub(crate) fn user_name(text: &str) -> bool {
    let fits = |c: char| !c.is_whitespace() && !c.is_control() && c != ':';
    !text.is_empty() && text.len() <= 255 && !text.starts_with('#') && text.chars().all(fits)
}

/// A URL that something can be sent to or asked for. It has no character that would need quoting.
pub(crate) fn web_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let has_host = host.is_some_and(|host| {
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        !host.is_empty() && !host.starts_with(':')
    });
    has_host && text.len() <= 4096 && text.chars().all(|c| c.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_need_quoting_is_refused() {
        for path in ["/var/www/main", "/srv/a_b-c.d", "/home/ubuntu/Flask-app/"] {
            assert!(host_path(path).is_some(), "{path}");
        }
        for path in
            ["", "/", "var/www", "/a/../b", "/a//b", "/a b", "/a;b", "/a{", "/$a", "/ä", "/a\n"]
        {
            assert!(host_path(path).is_none(), "{path:?}");
        }
        for path in ["/", "/open", "/a/b.c"] {
            assert!(url_path(path).is_some(), "{path}");
        }
        for path in ["", "open", "/open/", "//", "/a b", "/..", "/a;", "/é"] {
            assert!(url_path(path).is_none(), "{path:?}");
        }
    }

    #[test]
    fn a_url_has_a_scheme_and_a_host() {
        for url in [
            "https://hooks.example.com/T/B?x=1",
            "http://10.0.0.1:8080/",
            "https://:token@ntfy.example.com/alerts",
            "https://[2001:db8::1]/x",
            "http://a",
        ] {
            assert!(web_url(url), "{url}");
        }
        for text in ["", "https://", "https:///x", "http://:80/", "ftp://a/b", "a.b/c", "file:///x"]
        {
            assert!(!web_url(text), "{text}");
        }
        for hostile in ["https://a/\n-o /etc/x", "https://a/ b", "https://a/\u{e9}", "https://a\0"]
        {
            assert!(!web_url(hostile), "{hostile:?}");
        }
    }

    #[test]
    fn names_of_docker_and_dns() {
        for reference in ["redis:7-alpine", "redis", "localhost:5000/a/b:T", "ghcr.io/x/y"] {
            assert!(image(reference).is_some(), "{reference}");
        }
        let digest = format!("redis@sha256:{}", "a".repeat(64));
        assert!(image(&digest).is_some());
        for reference in
            ["", "Redis", "redis:", "redis:a b", "-r", "a//b", "redis@sha256:12", "r;x"]
        {
            assert!(image(reference).is_none(), "{reference:?}");
        }
        for name in ["example.com", "a-b.c", "10.0.0.1", "::1", "host"] {
            assert!(server_name(name).is_some(), "{name}");
        }
        for name in ["", "a_b", "-a.b", "a..b", "10.0.0.256", "*.x", "a b", "x;"] {
            assert!(server_name(name).is_none(), "{name:?}");
        }
        assert!(docker_name("redis-flask").is_some());
        assert!(docker_name("-x").is_none() && docker_name("a b").is_none());
        assert!(user_name("jürgen") && !user_name("a:b") && !user_name("#x") && !user_name("a b"));
    }
}
