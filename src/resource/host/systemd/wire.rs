//! As much of D-Bus's wire format as it takes to get properties.
//!
//! Source: the D-Bus specification 0.43, "Message Protocol" and "Authentication Protocol".

use anyhow::{Context as _, Result, bail};

/// Root's login: the user id 0 in ASCII, in hex.
pub(super) const LOGIN: &[u8] = b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n";
/// The fixed part of a message's header, with the length of the rest of it.
pub(super) const HEAD: usize = 16;
/// No answer to what is asked here is longer.
const MAX: usize = 64 << 10;
const LITTLE_ENDIAN: u8 = b'l';
const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const VERSION: u8 = 1;
/// The codes of header fields.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const REPLY_SERIAL: u8 = 5;
const SIGNATURE: u8 = 8;

/// Gets a property of an object.
pub(super) struct Call<'a> {
    pub(super) path: String,
    pub(super) interface: String,
    pub(super) property: &'a str,
}

/// The answer to one of the calls.
#[derive(Debug, PartialEq)]
pub(super) struct Reply {
    /// Its place among the calls.
    pub(super) call: usize,
    /// As `systemctl show` prints it; none where the object has no such property.
    pub(super) value: Option<String>,
}

/// All calls, the first with the serial 1.
pub(super) fn messages(calls: &[Call<'_>]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for (place, call) in calls.iter().enumerate() {
        bytes.extend(call.message(u32::try_from(place)? + 1)?);
    }
    Ok(bytes)
}

/// The size of a message that begins so.
pub(super) fn size(head: &[u8; HEAD]) -> Result<usize> {
    if head[0] != LITTLE_ENDIAN {
        bail!("a message in another byte order");
    }
    let mut reader = Reader { bytes: head, at: 4 };
    let body = reader.number()?;
    reader.at = 12;
    let fields = reader.number()?;
    let size = (HEAD + fields).next_multiple_of(8) + body;
    if size > MAX {
        bail!("a message of {size} bytes");
    }
    Ok(size)
}

impl Call<'_> {
    fn message(&self, serial: u32) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        string(&mut body, &self.interface)?;
        string(&mut body, self.property)?;
        let mut fields = Vec::new();
        for (code, kind, value) in [
            (PATH, b'o', self.path.as_str()),
            (INTERFACE, b's', "org.freedesktop.DBus.Properties"),
            (MEMBER, b's', "Get"),
        ] {
            pad(&mut fields, 8);
            fields.extend([code, 1, kind, 0]);
            string(&mut fields, value)?;
        }
        pad(&mut fields, 8);
        fields.extend([SIGNATURE, 1, b'g', 0, 2, b's', b's', 0]);
        let mut message = vec![LITTLE_ENDIAN, METHOD_CALL, 0, VERSION];
        message.extend(u32::try_from(body.len())?.to_le_bytes());
        message.extend(serial.to_le_bytes());
        message.extend(u32::try_from(fields.len())?.to_le_bytes());
        message.extend(fields);
        pad(&mut message, 8);
        message.extend(body);
        Ok(message)
    }
}

fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn string(bytes: &mut Vec<u8>, text: &str) -> Result<()> {
    pad(bytes, 4);
    bytes.extend(u32::try_from(text.len())?.to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.push(0);
    Ok(())
}

impl Reply {
    /// Of a whole message; none for what answers nothing, such as a signal.
    pub(super) fn parse(message: &[u8]) -> Result<Option<Self>> {
        let mut reader = Reader { bytes: message, at: 12 };
        let fields = reader.number()?;
        let end = HEAD + fields;
        let mut serial = None;
        while reader.at < end {
            reader.align(8);
            let code = reader.byte()?;
            let kind = reader.signature()?;
            if (code, kind) == (REPLY_SERIAL, b"u") {
                serial = Some(reader.number()?);
            } else {
                reader.value(kind)?;
            }
        }
        reader.align(8);
        let Some(call) = serial.and_then(|serial| serial.checked_sub(1)) else { return Ok(None) };
        let value = match message.get(1) {
            Some(&METHOD_RETURN) => {
                let kind = reader.signature()?;
                reader.value(kind)?
            }
            Some(&ERROR) => None,
            _ => return Ok(None),
        };
        Ok(Some(Self { call, value }))
    }
}

/// Reads values, each at its own alignment.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(length).context("a length beyond all bounds")?;
        let taken = self.bytes.get(self.at..end).context("a message that is too short")?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<usize> {
        self.align(4);
        Ok(u32::from_le_bytes(self.take(4)?.try_into()?) as usize)
    }

    fn signature(&mut self) -> Result<&'a [u8]> {
        let length = self.byte()?;
        let kind = self.take(length.into())?;
        self.take(1)?;
        Ok(kind)
    }

    fn text(&mut self) -> Result<String> {
        let length = self.number()?;
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Ok(text)
    }

    /// A value of this type as `systemctl show` prints it.
    fn value(&mut self, kind: &[u8]) -> Result<Option<String>> {
        Ok(Some(match kind {
            b"s" | b"o" => self.text()?,
            b"g" => String::from_utf8_lossy(self.signature()?).into_owned(),
            b"b" => if self.number()? == 0 { "no" } else { "yes" }.to_owned(),
            b"u" => self.number()?.to_string(),
            b"t" => {
                self.align(8);
                match u64::from_le_bytes(self.take(8)?.try_into()?) {
                    u64::MAX => "[not set]".to_owned(),
                    number => number.to_string(),
                }
            }
            b"ay" => {
                let length = self.number()?;
                crate::resource::hex(self.take(length)?)
            }
            other => bail!("a value of type `{}`", String::from_utf8_lossy(other)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of systemd's: its type, what it answers, its body after the signature `v`.
    fn answer(kind: u8, serial: u32, body: &[u8]) -> Vec<u8> {
        let mut fields = vec![6, 1, b's', 0, 3, 0, 0, 0, b':', b'1', b'.', 0];
        pad(&mut fields, 8);
        fields.extend([REPLY_SERIAL, 1, b'u', 0]);
        fields.extend(serial.to_le_bytes());
        fields.extend([SIGNATURE, 1, b'g', 0, 1, b'v', 0]);
        let mut message = vec![LITTLE_ENDIAN, kind, 1, VERSION];
        message.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        message.extend(7_u32.to_le_bytes());
        message.extend(u32::try_from(fields.len()).unwrap().to_le_bytes());
        message.extend(fields);
        pad(&mut message, 8);
        message.extend(body);
        message
    }

    fn value(body: &[u8]) -> Option<String> {
        let message = answer(METHOD_RETURN, 5, body);
        let head: [u8; HEAD] = message[..HEAD].try_into().unwrap();
        assert_eq!(size(&head).unwrap(), message.len());
        let reply = Reply::parse(&message).unwrap().unwrap();
        assert_eq!(reply.call, 4);
        reply.value
    }

    #[test]
    fn values_are_told_as_systemctl_does() {
        let told = |body: &[u8]| value(body).unwrap();
        assert_eq!(told(b"\x01s\0\0\x06\0\0\0active\0"), "active");
        assert_eq!(told(b"\x01b\0\0\x01\0\0\0"), "yes");
        assert_eq!(told(b"\x01u\0\0\x2a\0\0\0"), "42");
        assert_eq!(told(b"\x01t\0\0\0\0\0\0\x2a\0\0\0\0\0\0\0"), "42");
        assert_eq!(told(b"\x01t\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"), "[not set]");
        assert_eq!(told(b"\x02ay\0\x02\0\0\0\x0a\xff"), "0aff");
    }

    #[test]
    fn an_error_is_no_value_and_a_signal_no_answer() {
        let error = answer(ERROR, 1, b"\x0a\0\0\0no such pr\0");
        assert_eq!(Reply::parse(&error).unwrap(), Some(Reply { call: 0, value: None }));
        assert_eq!(Reply::parse(&answer(4, 0, b"")).unwrap(), None);
    }

    #[test]
    fn what_is_cut_or_endless_is_an_error() {
        let whole = answer(METHOD_RETURN, 5, b"\x01s\0\0\x06\0\0\0active\0");
        for cut in 0..whole.len() {
            assert!(Reply::parse(&whole[..cut]).is_err(), "cut at {cut}");
        }
        let mut head = [0xff; HEAD];
        assert!(size(&head).is_err());
        head[0] = LITTLE_ENDIAN;
        assert!(size(&head).is_err());
    }

    #[test]
    fn a_call_is_laid_out_as_specified() {
        let call = Call { path: "/a".to_owned(), interface: "b.c".to_owned(), property: "D" };
        let message = messages(&[call]).unwrap();
        let head: [u8; HEAD] = message[..HEAD].try_into().unwrap();
        assert_eq!(size(&head).unwrap(), message.len());
        assert!(message.ends_with(b"\x03\0\0\0b.c\0\x01\0\0\0D\0"));
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_answer_is_read_or_refused(bytes in crate::damaged::bytes(&[
            &answer(METHOD_RETURN, 5, b"\x01s\0\0\x06\0\0\0active\0"),
            &answer(METHOD_RETURN, 5, b"\x02ay\0\x02\0\0\0\x0a\xff"),
            &answer(ERROR, 1, b"\x0a\0\0\0no such pr\0"),
        ])) {
            let _ = Reply::parse(&bytes);
            if let Some(head) = bytes.first_chunk() {
                let _ = size(head);
            }
        }
    }
}
