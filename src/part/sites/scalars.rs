//! Rules for single settings of a site.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::inventory::schema::{
    Field, Fields, Named, Reader, Rule, Shape, Text, UserList, WhenAbsent,
};
use crate::inventory::{check, patterns};
use crate::part::build::path_pattern::PathPattern;
use crate::part::own_folder::OwnFolder;

/// Headers that depend on the answer, so that one value for all of them would be wrong.
const OF_ANSWERS: [&str; 18] = [
    "accept-ranges",
    "allow",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expires",
    "last-modified",
    "location",
    "retry-after",
    "server",
    "transfer-encoding",
    "www-authenticate",
    "x-request-id",
];
/// The longest value of a header. nginx takes up to 4096 bytes for a word of its configuration.
const MAX_HEADER: usize = 4000;
/// The longest time that clients may keep a file, in seconds: a year, the most that HTTP/1.1 recommended.
const MAX_CACHE_S: u32 = 31_536_000;

pub(in crate::part) const USERS: UserList = UserList {
    when_absent: WhenAbsent::Nobody,
    is_name: check::user_name,
    pattern: patterns::USER_NAME,
    hint: "no spaces, no colon, no `#` at its start",
};

/// A name that nginx's own files do not have.
pub(super) const USERS_FILE: Text<String> = Text {
    expected: "a file name that begins with `.htpasswd`",
    pattern: patterns::USERS_FILE,
    check: |text| {
        let rest = text.strip_prefix(".htpasswd")?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        (rest.len() <= 100 && rest.chars().all(fits)).then(|| text.to_owned())
    },
};

pub(super) const IGNORED: Text<PathPattern> = Text {
    expected: "a pattern such as `*.map`, `drafts/` or `/docs/*.psd`",
    pattern: patterns::ANY,
    check: PathPattern::parse,
};

/// nginx would read `$` as a variable.
pub(super) const REDIRECT: Text<String> = Text {
    expected: "a URL such as `https://www.example.com/docs` (no `$`, quotes or spaces), or a path",
    pattern: r#"(https?:/|(?=/[^/\\]|/$))/?[^\s"'$<>\\^`{|}\u0000-\u0020\u007f-\uffff]*"#,
    check: |text| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let is_url = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
        let is_path = text.starts_with('/') && !text.starts_with("//");
        let fits = |c: char| c.is_ascii_graphic() && !"\"'$<>\\^`{|}".contains(c);
        ((is_url || is_path) && text.chars().all(fits)).then(|| text.to_owned())
    },
};

/// A time in nginx's terms. Without a unit it would be milliseconds in some places and seconds in others.
pub(super) const CACHE: Text<String> = Text {
    expected: "a time of up to a year such as `10m`, `12h` or `30d`, or `\"0\"`",
    pattern: r"0|[1-9][0-9]{0,7}[smhd]",
    check: |text| {
        if text == "0" {
            return Some("epoch".to_owned());
        }
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        let is_plain = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
        let all = number.parse::<u32>().ok().filter(|_| is_plain)?.checked_mul(seconds)?;
        (all <= MAX_CACHE_S).then(|| text.to_owned())
    },
};

/// The path of a site, which a site with a name of its own has not.
#[derive(Clone, Copy, Debug)]
pub(super) struct PathOrHost;

const PATH: Text<String> = Text {
    expected: "a URL path such as `/open`",
    pattern: patterns::URL_PATH,
    check: check::url_path,
};

impl Shape for PathOrHost {
    fn expected(&self) -> String {
        PATH.expected()
    }

    fn json(&self) -> Json {
        PATH.json()
    }
}

impl Rule for PathOrHost {
    type Value = String;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
        PATH.read(reader, field)
    }

    fn absent(&self, reader: &mut Reader<'_>, fields: &Fields<'_>, _: &str) -> Option<String> {
        if fields.optional("host").is_some() {
            return Some("/".to_owned());
        }
        reader.refuse_map(fields, format!("`{}` lacks `path` or `host`", fields.path()), "");
        None
    }
}

/// The folder of a site on the host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root;

impl Shape for Root {
    fn expected(&self) -> String {
        OwnFolder.expected()
    }

    fn json(&self) -> Json {
        OwnFolder.json()
    }
}

impl Rule for Root {
    type Value = PathBuf;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<PathBuf> {
        OwnFolder.read(reader, field)
    }

    fn absent(&self, _: &mut Reader<'_>, fields: &Fields<'_>, _: &str) -> Option<PathBuf> {
        // No name of a site has a dot.
        let name = fields.path().rsplit('.').next()?;
        Some(Path::new("/var/www").join(name))
    }
}

/// Headers of a site's answers by name.
pub(super) const HEADERS: Named<Text<String>> = Named {
    what: "header",
    is_name: is_header,
    pattern: r"[A-Za-z0-9-]{1,64}",
    hint: "use letters, digits and `-`; hwctl itself sets those that differ between answers, and `cache` says how \
           long clients may keep a file",
    each: Text {
        expected: "a value in printable ASCII without `$`, which cannot be empty",
        pattern: r"[ -#%-~]*[!-#%-~][ -#%-~]*",
        check: header_value,
    },
};

fn is_header(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (1..=64).contains(&name.len())
        && name.chars().all(fits)
        && !OF_ANSWERS.contains(&name.to_ascii_lowercase().as_str())
}

/// nginx sends no header with an empty value, so that one of hwctl's would be dropped.
fn header_value(text: &str) -> Option<String> {
    let fits = |c: char| (' '..='~').contains(&c) && c != '$';
    let is_sound = !text.trim().is_empty() && text.len() <= MAX_HEADER && text.chars().all(fits);
    is_sound.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_to_urls_and_paths() {
        for url in ["https://example.com", "http://a.b:8080/c?d=e#f", "/open", "/"] {
            assert!((REDIRECT.check)(url).is_some(), "{url}");
        }
        for wrong in [
            "",
            "example.com",
            "//evil.example",
            "https://",
            "https:///x",
            "javascript:alert(1)",
            "https://a/$host",
            "https://a/ b",
            "https://a/\"",
            "https://a/\n",
            "ftp://a",
            "https://ä",
        ] {
            assert!((REDIRECT.check)(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!((CACHE.check)("0").as_deref(), Some("epoch"));
        for time in ["30s", "10m", "12h", "365d"] {
            assert_eq!((CACHE.check)(time).as_deref(), Some(time));
        }
        for wrong in ["", "10", "1y", "366d", "-1d", "01d", "1.5h", "d", "+1d", "99999999d", "1é"]
        {
            assert_eq!((CACHE.check)(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn headers_have_a_name_and_one_line() {
        assert!(is_header("X-Robots-Tag") && is_header("content-security-policy"));
        for wrong in ["", "a b", "a:", "Content-Type", "cache-control", "x_y"] {
            assert!(!is_header(wrong), "{wrong:?}");
        }
        for value in ["max-age=0", "default-src 'self' https://cdn.example.com"] {
            assert!(header_value(value).is_some(), "{value}");
        }
        for wrong in ["", "  ", "a\r\nb", "$host", "ü", "a\0"] {
            assert!(header_value(wrong).is_none(), "{wrong:?}");
        }
    }
}
