//! An ACL as people read it, from the form in which the kernel gives it.

use crate::resource::host::Host;
use crate::resource::host::fs::{group_text, user_text};

/// The length of the version number that comes before the entries.
const HEAD: usize = 4;
/// The length of an entry: two bytes of its tag, two of its rights, four of the user's or group's number.
const ENTRY: usize = 8;

/// The entries of an ACL as `getfacl` writes them, in one line.
pub(super) fn text(bytes: &[u8], host: &Host) -> String {
    let entries = bytes.get(HEAD..).unwrap_or_default().chunks_exact(ENTRY);
    let entries: Vec<_> = entries.map(|entry| entry_text(entry, host)).collect();
    entries.join(",")
}

fn entry_text(entry: &[u8], host: &Host) -> String {
    let short = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
    let number = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
    let (tag, rights) = (short(0), short(2));
    let who = match tag {
        0x01 => "user:".to_owned(),
        0x02 => format!("user:{}", user_text(host, number)),
        0x04 => "group:".to_owned(),
        0x08 => format!("group:{}", group_text(host, number)),
        0x10 => "mask:".to_owned(),
        _ => "other:".to_owned(),
    };
    let letter = |bit: u16, letter: char| if rights & bit == 0 { '-' } else { letter };
    format!("{who}:{}{}{}", letter(4, 'r'), letter(2, 'w'), letter(1, 'x'))
}
