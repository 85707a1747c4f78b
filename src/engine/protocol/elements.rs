//! Counts the values of a message before it is decoded. A few bytes become a few hundred in memory
//! when they are decoded, so the length of a frame alone does not bound what it takes.

use std::fmt;

use anyhow::{Result, bail};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The most values that a message may have. The plan of a host with 50,000 pages has half as many; a
/// value takes 50 bytes of memory on average, so this is about 100 MB.
const MAX_ELEMENTS: usize = 1 << 21;
/// As for messages: deeper ones are refused when they are decoded.
const MAX_DEPTH: usize = 64;

/// Refuses a message of too many values.
pub(super) fn require_few(bytes: &[u8]) -> Result<()> {
    // Each value takes at least one byte.
    if bytes.len() <= MAX_ELEMENTS {
        return Ok(());
    }
    let mut left = MAX_ELEMENTS;
    let mut decoder = rmp_serde::Deserializer::new(bytes);
    decoder.set_max_depth(MAX_DEPTH);
    // What makes no sense is refused by the decoder, which says why.
    let counted = Count(&mut left).deserialize(&mut decoder);
    if counted.is_err() && left == 0 {
        bail!("a message of more than {MAX_ELEMENTS} values: the stream is broken");
    }
    Ok(())
}

/// Counts one value and all within it down to zero.
struct Count<'a>(&'a mut usize);

impl Count<'_> {
    fn one<E: serde::de::Error>(&mut self) -> Result<(), E> {
        *self.0 = self.0.saturating_sub(1);
        match *self.0 {
            0 => Err(E::custom("too many values")),
            _ => Ok(()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Count<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, decoder: D) -> Result<(), D::Error> {
        decoder.deserialize_any(self)
    }
}

/// Visits a value that has no others within it.
macro_rules! count_scalars {
    ($($visit:ident($type:ty)),* $(,)?) => {$(
        fn $visit<E: serde::de::Error>(mut self, _: $type) -> Result<(), E> {
            self.one()
        }
    )*};
}

impl<'de> Visitor<'de> for Count<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    count_scalars!(
        visit_bool(bool),
        visit_i64(i64),
        visit_u64(u64),
        visit_f64(f64),
        visit_str(&str),
        visit_bytes(&[u8]),
    );

    fn visit_unit<E: serde::de::Error>(mut self) -> Result<(), E> {
        self.one()
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(mut self, inner: D) -> Result<(), D::Error> {
        self.one()?;
        inner.deserialize_any(IgnoredAny).map(drop)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut values: A) -> Result<(), A::Error> {
        self.one()?;
        while values.next_element_seed(Count(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        self.one()?;
        while fields.next_key_seed(Count(self.0))?.is_some() {
            fields.next_value_seed(Count(self.0))?;
        }
        Ok(())
    }
}
