//! A message as a mail (RFC 5322). Its headers and its body are ASCII, so that every server takes it.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;

use super::message::Message;
use super::settings::Email;
use crate::resource::sha256;

/// The characters of base64 in a line, as RFC 2045 has it.
const LINE: usize = 76;
/// The bytes of text in an encoded word, which may have 75 characters with its frame.
const WORD: usize = 42;

/// The mail, with the line ends of the protocol.
pub(super) fn mail(email: &Email, message: &Message, now: i64) -> String {
    let date = Timestamp::from_second(now).unwrap_or(Timestamp::UNIX_EPOCH);
    let key = format!("{} {} {} {now}", message.host, message.id, message.since);
    let digest = sha256(key.as_bytes());
    let domain = email.from.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
    let priority = message.state.is_urgent();
    let mut mail = String::new();
    for (name, value) in [
        ("From", email.from.clone()),
        ("To", email.to.join(",\r\n ")),
        ("Subject", encoded(&message.subject())),
        ("Date", date.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()),
        ("Message-ID", format!("<{}@{domain}>", digest.get(..32).unwrap_or(&digest))),
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("X-Priority", if priority { "1" } else { "3" }.to_owned()),
        ("MIME-Version", "1.0".to_owned()),
        ("Content-Type", "text/plain; charset=utf-8".to_owned()),
        ("Content-Transfer-Encoding", "base64".to_owned()),
    ] {
        let _ = write!(mail, "{name}: {value}\r\n");
    }
    mail.push_str("\r\n");
    let text = format!("{}\n\n{}\n", message.subject(), message.body());
    let text = BASE64_STANDARD.encode(text.replace('\n', "\r\n"));
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        let _ = write!(mail, "{line}\r\n");
        rest = after;
    }
    mail
}

/// A text as the value of a header: as it is where it is plain, else in encoded words (RFC 2047).
pub(super) fn encoded(text: &str) -> String {
    if text.len() <= LINE && text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        return text.to_owned();
    }
    let mut words = vec![String::new()];
    for c in text.chars() {
        if words.last().is_some_and(|word| word.len() + c.len_utf8() > WORD) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    let words = words.iter().map(|word| format!("=?UTF-8?B?{}?=", BASE64_STANDARD.encode(word)));
    words.collect::<Vec<_>>().join("\r\n ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::MessageState;

    fn email() -> Email {
        Email {
            to: vec!["ops@example.com".to_owned(), "anna@example.com".to_owned()],
            from: "hwctl@example.com".to_owned(),
            url: "smtp://mail.example.com:587".to_owned(),
            requires_tls: true,
            login: None,
        }
    }

    #[test]
    fn a_mail_has_headers_and_a_body_that_every_server_takes() {
        let message = Message {
            state: MessageState::Fault,
            summary: "`café` does not run: \u{1f4a5} and more of what is too long for one line of a header"
                .to_owned(),
            details: vec![".".to_owned(), "a line".to_owned()],
            ..Message::test("vm1", 1_800_000_000)
        };

        let mail = mail(&email(), &message, 1_800_000_060);

        assert!(mail.is_ascii());
        assert!(mail.lines().all(|line| line.len() <= 78), "{mail}");
        assert!(mail.split("\r\n").all(|line| !line.contains(['\r', '\n'])), "{mail:?}");
        let (head, body) = mail.split_once("\r\n\r\n").unwrap();
        for line in [
            "From: hwctl@example.com\r\n",
            "To: ops@example.com,\r\n anna@example.com\r\n",
            "Subject: =?UTF-8?B?",
            "Date: Fri, 15 Jan 2027 08:01:00 +0000\r\n",
            "@example.com>\r\n",
        ] {
            assert!(head.contains(line), "{line:?} in {head}");
        }
        let text = BASE64_STANDARD.decode(body.replace("\r\n", "")).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("vm1: `café` does not run"), "{text}");
        assert!(text.contains("\r\n\r\n.\r\na line\r\nsince 2027-01-15T08:00:00Z\r\n"), "{text:?}");
    }

    #[test]
    fn a_header_stays_one_header() {
        assert_eq!(encoded("vm1: nginx does not run"), "vm1: nginx does not run");
        let hostile = encoded("x\r\nBcc: all@example.com");
        assert!(hostile.starts_with("=?UTF-8?B?") && !hostile.contains("Bcc"), "{hostile}");
        let long = encoded(&"ä".repeat(100));
        for word in long.split("\r\n ") {
            assert!(word.len() <= 75, "{word}");
            let inner = word.strip_prefix("=?UTF-8?B?").unwrap().strip_suffix("?=").unwrap();
            let text = String::from_utf8(BASE64_STANDARD.decode(inner).unwrap()).unwrap();
            assert!(text.chars().all(|c| c == 'ä'), "no character is cut: {text}");
        }
    }
}
