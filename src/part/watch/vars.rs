//! The variables of the watch: who is told how, and what of.

use serde_json::{Value as Json, json};

use crate::inventory::schema::{
    As, Choice, Declared, Field, Fields, List, Map, Number, OnePassword, OneUrl, Optional,
    Password, Reader, Rule, Shape, Text, Variable,
};
use crate::inventory::{check, patterns};
use crate::vars;

pub(super) const VARIABLES: &[Declared] =
    &[Declared::of::<Notify>(), Declared::of::<Heartbeat>(), Declared::of::<Watching>()];

/// Who is told of faults.
#[derive(Clone, Debug, PartialEq)]
pub struct Notify(pub Vec<Receiver>);

vars! {
    /// One way to tell somebody.
    pub struct Receiver {
        /// URL that gets a POST of JSON; a secret
        webhook: Option<Password> = "null", Optional(OneUrl);
        /// URL of a topic of ntfy; a secret
        ntfy: Option<Password> = "null", Optional(OneUrl);
        /// a mail
        email: Option<Mail> = "null", Optional(Map::<Mail>::checked(has_login_with_tls));
    }
}

vars! {
    /// A mail and the server that takes it.
    pub struct Mail {
        /// address that gets the mail, or a list of them
        to: Vec<String> = "null", Addresses;
        /// address that the mail comes from
        from: String = "null", ADDRESS;
        /// server as `HOST` or `HOST:PORT`; without a port 587, 465 with `tls: always`, 25 with `tls: never`
        smtp: Server = "null", SERVER;
        /// login at the server
        user: Option<String> = "null", Optional(LOGIN);
        /// password of the login
        password: Option<Password> = "null", Optional(OnePassword);
        /// `starttls` begins in the clear and goes on with TLS or not at all, `always` begins with TLS, `never` has none
        tls: TlsOf = "starttls", Choice(&[
            ("starttls", TlsOf::StartTls),
            ("always", TlsOf::Always),
            ("never", TlsOf::Never),
        ]);
    }
}

/// When a server of mails speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsOf {
    /// After a beginning in the clear.
    StartTls,
    /// From the first byte on.
    Always,
    /// Not at all.
    Never,
}

/// A server of mails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name or address, as a URL has it.
    pub host: String,
    /// Its port, where that is given.
    pub port: Option<u16>,
}

/// The URL that is asked for after each look.
#[derive(Clone, Debug, PartialEq)]
pub struct Heartbeat(pub Option<Password>);

vars! {
    /// How a host is watched. It is where `notify` or `heartbeat` is set.
    pub struct Watching {
        /// how often the host looks at itself: `30s` to `1d`
        every: Seconds = "1m", EVERY;
        /// after how long somebody is reminded of a fault that lasts: `1h` to `30d`
        remind: Seconds = "1d", REMIND;
        /// days that a security update may wait; 0: for ever
        security_updates: u16 = "7", Number { min: 0, max: 365 };
        /// a disk that is full in fewer hours, if it goes on filling so, is a fault; 0: it is none
        disk_hours: u16 = "24", Number { min: 0, max: 720 };
    }
}

/// A length of time in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub u32);

const EVERY: Text<Seconds> = Text {
    expected: "a time from `30s` to `1d`",
    pattern: TIME,
    check: |text| seconds(text, 30..=86_400),
};

const REMIND: Text<Seconds> = Text {
    expected: "a time from `1h` to `30d`",
    pattern: TIME,
    check: |text| seconds(text, 3600..=30 * 86_400),
};

const TIME: &str = r"[0-9]{1,8}[smhd]";

/// The seconds of a time such as `5m`.
fn seconds(text: &str, range: std::ops::RangeInclusive<u32>) -> Option<Seconds> {
    let unit = match text.chars().next_back()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let number = &text[..text.len() - 1];
    let digits = (1..=8).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    let seconds = number.parse::<u32>().ok().filter(|_| digits)?.checked_mul(unit)?;
    range.contains(&seconds).then_some(Seconds(seconds))
}

const ADDRESS: Text<String> = Text {
    expected: "a mail address such as `ops@example.com`",
    pattern: ADDRESS_PATTERN,
    check: |text| is_address(text).then(|| text.to_owned()),
};

const ADDRESS_PATTERN: &str = r"[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}";

/// Whether it is an address that stays one in a header and on the way to a server.
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let fits = |c: char| c.is_ascii_alphanumeric() || ".!#$%&'*+/=?^_{|}~-".contains(c);
    let domain_fits = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
    (1..=64).contains(&local.len())
        && (1..=253).contains(&domain.len())
        && local.chars().all(fits)
        && domain.chars().all(domain_fits)
}

const SERVER: Text<Server> = Text {
    expected: "a server such as `mail.example.com:587`",
    pattern: patterns::ANY,
    check: server,
};

/// A name or an address with a port or without. One of version 6 is in brackets.
fn server(text: &str) -> Option<Server> {
    let in_brackets = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = if let Some((address, port)) = in_brackets {
        address.parse::<std::net::Ipv6Addr>().ok()?;
        (format!("[{address}]"), port)
    } else {
        let end = text.find(':').unwrap_or(text.len());
        (check::server_name(&text[..end])?, &text[end..])
    };
    let port = match port {
        "" => None,
        port => Some(port.strip_prefix(':')?.parse().ok().filter(|port| *port > 0)?),
    };
    Some(Server { host, port })
}

const LOGIN: Text<String> = Text {
    expected: "a name without `:`",
    pattern: r"[^:\u0000-\u001f\u007f-\u009f]{1,255}",
    check: |text| {
        let fits = |c: char| !c.is_control() && c != ':';
        let is_login = !text.is_empty() && text.chars().count() <= 255 && text.chars().all(fits);
        is_login.then(|| text.to_owned())
    },
};

/// An address, or a list of addresses.
#[derive(Clone, Copy, Debug)]
struct Addresses;

const ADDRESSES: List<Text<String>> = List(ADDRESS);

impl Shape for Addresses {
    fn expected(&self) -> String {
        "a mail address, or a list of them".to_owned()
    }

    fn json(&self) -> Json {
        let mut list = ADDRESSES.json();
        list["minItems"] = json!(1);
        json!({ "anyOf": [ADDRESS.json(), list] })
    }
}

impl Rule for Addresses {
    type Value = Vec<String>;

    fn read(&self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Vec<String>> {
        if field.as_text().is_some() {
            return ADDRESS.read(reader, field).map(|address| vec![address]);
        }
        let addresses = ADDRESSES.read(reader, field)?;
        if addresses.is_empty() {
            return reader.refuse(field, format!("`{}` names nobody", field.path()), "");
        }
        Some(addresses)
    }
}

impl Variable for Notify {
    const NAME: &'static str = "notify";
    const DOC: &'static str = "who is told of faults: a list of `webhook`, `ntfy` and `email`, see [monitoring](monitoring.md)";
    const DEFAULT: &'static str = "[]";
    const IS_COMMON: bool = true;
    type Rule = As<List<Map<Receiver>>, Self>;
    const RULE: &'static Self::Rule = &As { rule: List(Map::checked(is_one_way)), make: Self };
}

impl Variable for Heartbeat {
    const NAME: &'static str = "heartbeat";
    const DOC: &'static str = "URL that the host asks for after each look, for an outside watcher of silent hosts; a secret";
    const DEFAULT: &'static str = "null";
    const IS_COMMON: bool = true;
    type Rule = As<Optional<OneUrl>, Self>;
    const RULE: &'static Self::Rule = &As { rule: Optional(OneUrl), make: Self };
}

impl Variable for Watching {
    const NAME: &'static str = "watch";
    const DOC: &'static str = "how hosts watch themselves";
    const IS_COMMON: bool = true;
    type Rule = Map<Self>;
    const RULE: &'static Map<Self> = &Map::new();
}

fn is_one_way(receiver: &Receiver, reader: &mut Reader<'_>, fields: &Fields<'_>) -> bool {
    let Receiver { webhook, ntfy, email } = receiver;
    let given = [webhook.is_some(), ntfy.is_some(), email.is_some()];
    if given.iter().filter(|is_given| **is_given).count() == 1 {
        return true;
    }
    let message = format!("`{}` takes one of `webhook`, `ntfy` and `email`", fields.path());
    reader.refuse_map(fields, message, "write an entry of the list for each way");
    false
}

fn has_login_with_tls(mail: &Mail, reader: &mut Reader<'_>, fields: &Fields<'_>) -> bool {
    let (path, lacking) = (
        fields.path(),
        match (&mail.user, &mail.password) {
            (Some(_), None) => Some("password"),
            (None, Some(_)) => Some("user"),
            _ => None,
        },
    );
    if let Some(key) = lacking {
        let message = format!("`{path}` lacks `{key}`: a login is a user and a password");
        reader.refuse_map(fields, message, "");
        return false;
    }
    if mail.user.is_some() && mail.tls == TlsOf::Never {
        let message = format!("`{path}` would send a password without TLS");
        reader.refuse_map(fields, message, "leave out `tls: never`, or the login");
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_number_and_a_unit() {
        let all = |text| seconds(text, 0..=u32::MAX).map(|Seconds(seconds)| seconds);
        assert_eq!(["30s", "5m", "2h", "1d"].map(all), [30, 300, 7200, 86_400].map(Some));
        for wrong in
            ["", "s", "5", "5 m", "-5m", "+5m", "1.5h", "5M", "5w", "99999999d", "5ä", "1m\n"]
        {
            assert_eq!(all(wrong), None, "{wrong:?}");
        }
        assert_eq!(seconds("29s", 30..=86_400), None);
    }

    #[test]
    fn only_plain_addresses_and_servers_are_taken() {
        for address in ["ops@example.com", "a.b+c@x-y.org", "o'neil@a"] {
            assert!(is_address(address), "{address}");
        }
        for wrong in [
            "",
            "ops",
            "@a",
            "a@",
            "a b@c",
            "a@b@c",
            "<a@b>",
            "a@b\nBcc: c@d",
            "a@b,c@d",
            "ä@b",
            "\"a\"@b",
        ] {
            assert!(!is_address(wrong), "{wrong:?}");
        }
        let told = |text: &str| server(text).map(|it| (it.host, it.port));
        assert_eq!(told("mail.example.com:587"), Some(("mail.example.com".to_owned(), Some(587))));
        assert_eq!(told("10.0.0.1"), Some(("10.0.0.1".to_owned(), None)));
        assert_eq!(told("[::1]:25"), Some(("[::1]".to_owned(), Some(25))));
        for wrong in
            ["", ":25", "a:0", "a:x", "a:70000", "a/b", "u@a:25", "::1", "a b", "a\n", "[x]:1"]
        {
            assert_eq!(told(wrong), None, "{wrong:?}");
        }
    }
}
