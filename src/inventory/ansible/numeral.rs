//! Numbers as Python spells them.

use serde_json::Number;

use crate::inventory::yaml::integer;
use crate::inventory::yaml::node::Value;

/// Takes what could be a number off the start of a text.
pub(super) fn split(text: &str) -> (&str, &str) {
    // Only a decimal number has an exponent, whose sign belongs to it.
    let is_decimal = base(text).is_none();
    let mut before = ' ';
    let end = text.find(|c: char| {
        let is_exponent = is_decimal && matches!(before, 'e' | 'E');
        before = c;
        !(c.is_alphanumeric() || c == '_' || c == '.' || is_exponent && matches!(c, '+' | '-'))
    });
    text.split_at(end.unwrap_or(text.len()))
}

/// The number that these digits are.
pub(super) fn read(digits: &str, is_negative: bool) -> Option<Value> {
    if let Some(base) = base(digits) {
        // An underscore may stand behind the base, too.
        let digits = digits[2..].strip_prefix('_').unwrap_or(&digits[2..]);
        return integer::read(&without_underscores(digits)?, base, is_negative);
    }
    if !digits.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        return float(digits, is_negative).map(Value::Number);
    }
    let digits = without_underscores(digits)?;
    let is_octal = digits.starts_with('0') && digits.bytes().any(|b| b != b'0');
    if is_octal { None } else { integer::read(&digits, 10, is_negative) }
}

fn base(digits: &str) -> Option<u32> {
    match digits.get(..2)? {
        "0x" | "0X" => Some(16),
        "0o" | "0O" => Some(8),
        "0b" | "0B" => Some(2),
        _ => None,
    }
}

fn float(digits: &str, is_negative: bool) -> Option<Number> {
    if !digits.chars().all(|c| c.is_ascii_digit() || "._eE+-".contains(c)) {
        return None;
    }
    let value: f64 = without_underscores(digits)?.parse().ok()?;
    Number::from_f64(if is_negative { -value } else { value })
}

/// The digits without underscores, each of which has to stand between two digits.
fn without_underscores(digits: &str) -> Option<String> {
    let is_digit = |b: Option<&u8>| b.is_some_and(u8::is_ascii_hexdigit);
    let bytes = digits.as_bytes();
    let is_misplaced = |at: usize| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        !is_digit(before) || !is_digit(bytes.get(at + 1))
    };
    let mut underscores = digits.match_indices('_').map(|(at, _)| at);
    (!digits.is_empty() && !underscores.any(is_misplaced)).then(|| digits.replace('_', ""))
}
