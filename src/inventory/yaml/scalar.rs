//! What an unquoted YAML word means: the rules of YAML 1.1, because Ansible reads by them.

use serde_json::Number;

use super::integer;
use super::node::Value;

/// The value of an unquoted word: `yes` is true, `0644` is octal, `22:22` is base 60.
pub(in crate::inventory) fn resolve(word: &str) -> Value {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Flag(true);
        }
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Flag(false);
        }
        _ => {}
    }
    match number(word) {
        Some(number) => number,
        None => Value::Text(moment(word).unwrap_or_else(|| word.to_owned())),
    }
}

/// A date with a time, such as `2026-11-24 10:00:00`, as Ansible prints it.
fn moment(word: &str) -> Option<String> {
    let like = |text: &str, form: &str| {
        let fits = |(c, f): (u8, u8)| if f == b'0' { c.is_ascii_digit() } else { c == f };
        text.len() == form.len() && text.bytes().zip(form.bytes()).all(fits)
    };
    let (date, time) = word.split_once([' ', 'T', 't'])?;
    let fits = like(date, "0000-00-00") && like(time.trim_start(), "00:00:00");
    fits.then(|| format!("{date}T{}", time.trim_start()))
}

fn number(word: &str) -> Option<Value> {
    let (negative, digits) = match word.as_bytes().first()? {
        b'-' => (true, &word[1..]),
        b'+' => (false, &word[1..]),
        b'0'..=b'9' | b'.' => (false, word),
        _ => return None,
    };
    if let Some(whole) = whole(digits, negative) {
        return Some(whole);
    }
    // YAML 1.1 takes no sign before a point: `+.5` is text.
    if digits.len() < word.len() && digits.starts_with('.') {
        return None;
    }
    let float = float(digits)?;
    Number::from_f64(if negative { -float } else { float }).map(Value::Number)
}

/// A whole number whose sign was taken off.
fn whole(digits: &str, is_negative: bool) -> Option<Value> {
    let in_base =
        |digits: &str, base: u32| integer::read(&digits.replace('_', ""), base, is_negative);
    if let Some(binary) = digits.strip_prefix("0b") {
        return in_base(binary, 2);
    }
    if let Some(hexadecimal) = digits.strip_prefix("0x") {
        return in_base(hexadecimal, 16);
    }
    // Only a fraction in base 60 may begin with 0: `07:30` is a time of day.
    if digits.contains(':') && !digits.starts_with('0') {
        let mut value = 0_i128;
        for part in sixties(digits)? {
            value = value.checked_mul(60)?.checked_add(part.replace('_', "").parse().ok()?)?;
        }
        return Some(integer::value(if is_negative { -value } else { value }));
    }
    match digits.strip_prefix('0') {
        Some("") => Some(integer::value(0)),
        Some(octal) => in_base(octal, 8),
        None if digits.starts_with('_') => None,
        None => in_base(digits, 10),
    }
}

fn float(digits: &str) -> Option<f64> {
    let plain = digits.replace('_', "");
    if digits.contains(':') {
        let (whole, fraction) = plain.split_once('.')?;
        let mut value = 0.0;
        for part in sixties(whole)? {
            value = value * 60.0 + part.parse::<f64>().ok()?;
        }
        return Some(value + format!("0.{fraction}0").parse::<f64>().ok()?);
    }
    let (mantissa, exponent) = match plain.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (plain.as_str(), None),
    };
    let (before, after) = mantissa.split_once('.')?;
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let signed = |text: &str| {
        let number = text.strip_prefix(['+', '-']);
        number.is_some_and(|number| !number.is_empty() && all_digits(number))
    };
    let some = !before.is_empty() || !after.is_empty();
    if !some || !all_digits(before) || !all_digits(after) || !exponent.is_none_or(signed) {
        return None;
    }
    plain.parse().ok()
}

/// The parts of a number in base 60, such as `1:30:00`.
fn sixties(digits: &str) -> Option<Vec<&str>> {
    let parts: Vec<_> = digits.split(':').collect();
    let (first, rest) = parts.split_first()?;
    let first_fits = first.starts_with(|c: char| c.is_ascii_digit())
        && first.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let rest_fits = rest
        .iter()
        .all(|part| matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']));
    (first_fits && rest_fits && !rest.is_empty()).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_mean_what_ansible_reads() {
        for (word, meaning) in [
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("y", json!("y")),
            ("~", json!(null)),
            ("0644", json!(420)),
            ("0o644", json!("0o644")),
            ("0999", json!("0999")),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("1_000", json!(1000)),
            ("+5", json!(5)),
            ("-7", json!(-7)),
            ("22:22", json!(1342)),
            ("1:30.5", json!(90.5)),
            ("1e3", json!("1e3")),
            ("1.0e+3", json!(1000.0)),
            (".5", json!(0.5)),
            ("6.", json!(6.0)),
            (".", json!(".")),
            ("-", json!("-")),
            ("1.2.3.4", json!("1.2.3.4")),
            ("192.168.1.0/24", json!("192.168.1.0/24")),
            ("80/tcp", json!("80/tcp")),
            ("2026-11-24", json!("2026-11-24")),
            ("2026-11-24 10:00:00", json!("2026-11-24T10:00:00")),
            ("::1", json!("::1")),
            ("07:30", json!("07:30")),
            ("07:30.5", json!(450.5)),
            ("190:20:30", json!(685_230)),
            ("-12:30", json!(-750)),
            ("0_7", json!(7)),
            ("00:11:22:33:44:55", json!("00:11:22:33:44:55")),
            ("+.5", json!("+.5")),
            ("-.5", json!("-.5")),
            ("+1.5", json!(1.5)),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
        ] {
            let value = match resolve(word) {
                Value::Null => json!(null),
                Value::Flag(flag) => json!(flag),
                Value::Number(number) => json!(number),
                Value::Text(text) => json!(text),
                _ => unreachable!("a word is none of these"),
            };
            assert_eq!(value, meaning, "{word}");
        }
    }
}
