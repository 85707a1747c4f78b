//! Damaged input for property tests of what reads files, logs and answers of hosts.
//!
//! Most decoders turn down noise at its first byte, so noise alone tests little. The input here is a real
//! sample with random damage. `PROPTEST_CASES` says how many cases each test tries (256 unless said).

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// What people and machines do to bytes.
#[derive(Clone, Debug)]
enum Damage {
    Cut(Index),
    Remove(Index, Index),
    Repeat(Index, Index, usize),
    Insert(Index, Vec<u8>),
    Replace(Index, u8),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let at = |index: &Index| index.index(bytes.len() + 1);
        let range = |one: &Index, other: &Index| {
            let (one, other) = (at(one), at(other));
            one.min(other)..one.max(other)
        };
        match self {
            Self::Cut(from) => bytes.truncate(at(from)),
            Self::Remove(from, to) => drop(bytes.drain(range(from, to))),
            Self::Repeat(from, to, times) => {
                let range = range(from, to);
                let part = bytes[range.clone()].repeat(*times);
                bytes.splice(range.end..range.end, part);
            }
            Self::Insert(index, new) => {
                let index = at(index);
                bytes.splice(index..index, new.iter().copied());
            }
            Self::Replace(index, byte) => {
                let index = at(index);
                if let Some(old) = bytes.get_mut(index) {
                    *old = *byte;
                }
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let strange = [
        "",
        "\n",
        "\n\n",
        " ",
        "\0",
        ":",
        "=",
        "\"",
        "-1",
        "0",
        "18446744073709551616",
        "é",
        "\u{85}",
        "\u{202e}",
        "\u{1b}[2J",
        "%s",
        "[",
        "]]",
        "{",
        "}",
        "\r\n",
        "#",
        "\u{feff}",
    ];
    let strange = select(strange.to_vec()).prop_map(|text| text.as_bytes().to_vec());
    prop_oneof![
        any::<Index>().prop_map(Damage::Cut),
        any::<(Index, Index)>().prop_map(|(from, to)| Damage::Remove(from, to)),
        (any::<Index>(), any::<Index>(), 1..20_usize)
            .prop_map(|(from, to, times)| Damage::Repeat(from, to, times)),
        (any::<Index>(), prop_oneof![strange, vec(any::<u8>(), 0..9)])
            .prop_map(|(index, new)| Damage::Insert(index, new)),
        any::<(Index, u8)>().prop_map(|(index, byte)| Damage::Replace(index, byte)),
    ]
}

/// Bytes of one of the samples, damaged up to eight times.
pub(crate) fn bytes(samples: &[&[u8]]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let samples: Vec<_> = samples.iter().map(|sample| sample.to_vec()).collect();
    (select(samples), vec(damage(), 0..9)).prop_map(|(mut bytes, damages)| {
        for damage in damages {
            damage.apply(&mut bytes);
        }
        bytes.truncate(64 << 10);
        bytes
    })
}

/// The same as text.
pub(crate) fn text(samples: &[&str]) -> impl Strategy<Value = String> + use<> {
    let samples: Vec<_> = samples.iter().map(|sample| sample.as_bytes()).collect();
    bytes(&samples).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
