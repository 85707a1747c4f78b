//! Whole numbers of any size. Python has no bound for them, so Ansible passes them on digit for digit.

use super::node::Value;

/// More digits than this are text: Python does not write such a number either.
const MAX_DIGITS: usize = 4_300;
/// Decimal digits of a limb, and the bound that they make.
const LIMB_DIGITS: usize = 9;
const LIMB: u64 = 1_000_000_000;

/// A whole number as a value.
pub(in crate::inventory) fn value(whole: i128) -> Value {
    match (i64::try_from(whole), u64::try_from(whole)) {
        (Ok(number), _) => Value::Number(number.into()),
        (_, Ok(number)) => Value::Number(number.into()),
        _ => Value::Integer(whole.to_string()),
    }
}

/// The number that these digits are in a base of at most 16. None for what are no digits of it, and for too many.
pub(in crate::inventory) fn read(digits: &str, base: u32, is_negative: bool) -> Option<Value> {
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return None;
    }
    if let Ok(whole) = i128::from_str_radix(digits, base) {
        return Some(value(if is_negative { -whole } else { whole }));
    }
    let decimal = decimal(digits, base)?;
    Some(Value::Integer(if is_negative { format!("-{decimal}") } else { decimal }))
}

/// The same number in decimal digits.
fn decimal(digits: &str, base: u32) -> Option<String> {
    let digits = digits.trim_start_matches('0');
    if digits.len() > MAX_DIGITS {
        return None;
    }
    // The lowest limb first.
    let mut limbs = Vec::new();
    for digit in digits.chars() {
        let mut carry = u64::from(digit.to_digit(base)?);
        for limb in &mut limbs {
            carry += *limb * u64::from(base);
            *limb = carry % LIMB;
            carry /= LIMB;
        }
        if carry > 0 {
            limbs.push(carry);
        }
    }
    let mut limbs = limbs.into_iter().rev();
    let first = limbs.next().unwrap_or_default().to_string();
    let rest = limbs.map(|limb| format!("{limb:0LIMB_DIGITS$}"));
    Some(std::iter::once(first).chain(rest).collect())
}

/// Whether a text is a whole number in decimal digits.
pub(in crate::inventory) fn is_whole(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_every_digit_in_any_base() {
        let shown = |digits: &str, base, is_negative| {
            let Some(value) = read(digits, base, is_negative) else { return "text".to_owned() };
            match value {
                Value::Number(number) => number.to_string(),
                Value::Integer(digits) => format!("big {digits}"),
                _ => "another value".to_owned(),
            }
        };
        let two_to_128 = "340282366920938463463374607431768211456";
        let in_hexadecimal = format!("1{}", "0".repeat(32));
        for (digits, base, is_negative, expected) in [
            ("18446744073709551615", 10, false, "18446744073709551615"),
            ("18446744073709551616", 10, false, "big 18446744073709551616"),
            ("9223372036854775808", 10, true, "-9223372036854775808"),
            ("9223372036854775809", 10, true, "big -9223372036854775809"),
            (two_to_128, 10, true, &format!("big -{two_to_128}")),
            (&in_hexadecimal, 16, false, &format!("big {two_to_128}")),
            (&format!("000{in_hexadecimal}"), 16, false, &format!("big {two_to_128}")),
            (&"1".repeat(MAX_DIGITS + 1), 10, false, "text"),
            ("12x", 10, false, "text"),
            ("", 10, false, "text"),
        ] {
            assert_eq!(shown(digits, base, is_negative), expected, "{digits}");
        }
    }
}
