//! Host ranges: `web[01:03]`, `web[a:c]`, with a step, several in one name; and `name:port`.

/// No inventory has more hosts than this in one line; a typing error may.
const MOST: usize = 100_000;

/// The hosts of one inventory key, and the port when one is written behind it.
pub(in crate::inventory) fn expand(pattern: &str) -> Result<(Vec<String>, Option<u16>), String> {
    let (pattern, port) = split_port(pattern)?;
    let mut hosts = Vec::new();
    expand_into(pattern, &mut hosts)?;
    Ok((hosts, port))
}

/// Takes the port off `name:22` and `[::1]:22`. A bare IPv6 address has none.
fn split_port(pattern: &str) -> Result<(&str, Option<u16>), String> {
    let port = |text: &str| {
        let number = text.parse::<u16>().ok().filter(|port| *port > 0);
        number.map(Some).ok_or_else(|| format!("`{text}` is not a port"))
    };
    if pattern.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok((pattern, None));
    }
    if let Some((inner, digits)) = pattern.strip_prefix('[').and_then(|rest| rest.rsplit_once("]:"))
        && !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
        && !inner.contains(['[', ']'])
    {
        return Ok((inner, port(digits)?));
    }
    let mut depth = 0_usize;
    let mut colons = Vec::new();
    for (at, byte) in pattern.bytes().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            b':' if depth == 0 => colons.push(at),
            _ => {}
        }
    }
    match colons.as_slice() {
        [] => Ok((pattern, None)),
        [colon] => Ok((&pattern[..*colon], port(&pattern[colon + 1..])?)),
        _ => Err(format!("`{pattern}` is neither a name nor an address")),
    }
}

fn expand_into(pattern: &str, hosts: &mut Vec<String>) -> Result<(), String> {
    let Some((head, rest)) = pattern.split_once('[') else {
        if pattern.contains(']') {
            return Err(format!("`{pattern}` has a `]` without a `[`"));
        }
        hosts.push(pattern.to_owned());
        return if hosts.len() > MOST { Err(too_many()) } else { Ok(()) };
    };
    let (range, tail) =
        rest.split_once(']').ok_or_else(|| format!("`{pattern}` has a `[` without a `]`"))?;
    for member in members(range)? {
        expand_into(&format!("{head}{member}{tail}"), hosts)?;
    }
    Ok(())
}

fn too_many() -> String {
    format!("the range has more than {MOST} hosts")
}

fn members(range: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("`[{range}]` is not a range such as `[01:03]`, `[a:c]` or `[0:10:2]`");
    let parts: Vec<_> = range.split(':').collect();
    let (begin, end, step) = match parts.as_slice() {
        [begin, end] => (*begin, *end, 1),
        [begin, end, step] => (*begin, *end, step.parse::<usize>().map_err(|_| wrong())?),
        _ => return Err(wrong()),
    };
    if step == 0 {
        return Err(format!("`[{range}]` has a step of 0"));
    }
    let begin = if begin.is_empty() { "0" } else { begin };
    let backwards = || format!("`[{range}]` ends before it begins");
    if let (Some(first), Some(last)) = (letter(begin), letter(end)) {
        if first > last {
            return Err(backwards());
        }
        return Ok((first..=last).step_by(step).map(|at| LETTERS[at].to_string()).collect());
    }
    let digits = |text: &str| {
        let all = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        all.then(|| text.parse::<u64>().ok()).flatten().ok_or_else(wrong)
    };
    let (first, last) = (digits(begin)?, digits(end)?);
    let padded = begin.len() > 1 && begin.starts_with('0');
    if padded && begin.len() != end.len() {
        return Err(format!("`[{range}]` needs as many digits at its end as at its begin"));
    }
    if first > last {
        return Err(backwards());
    }
    if (last - first) / step as u64 >= MOST as u64 {
        return Err(too_many());
    }
    let width = if padded { begin.len() } else { 0 };
    Ok((first..=last).step_by(step).map(|number| format!("{number:0width$}")).collect())
}

/// Python's order of letters, which Ansible counts in: small ones first.
const LETTERS: [char; 52] = {
    let mut letters = ['a'; 52];
    let mut at = 0_u8;
    while at < 26 {
        letters[at as usize] = (b'a' + at) as char;
        letters[at as usize + 26] = (b'A' + at) as char;
        at += 1;
    }
    letters
};

fn letter(text: &str) -> Option<usize> {
    LETTERS.iter().position(|letter| text.chars().eq([*letter]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(pattern: &str) -> String {
        match expand(pattern) {
            Ok((hosts, None)) => hosts.join(" "),
            Ok((hosts, Some(port))) => format!("{} port {port}", hosts.join(" ")),
            Err(error) => error,
        }
    }

    #[test]
    fn ranges_are_ansibles() {
        assert_eq!(hosts("web[01:03]"), "web01 web02 web03");
        assert_eq!(hosts("web[8:10].x"), "web8.x web9.x web10.x");
        assert_eq!(hosts("web[a:c]"), "weba webb webc");
        assert_eq!(hosts("web[0:6:3]"), "web0 web3 web6");
        assert_eq!(hosts("w[1:2]-[a:b]"), "w1-a w1-b w2-a w2-b");
        assert_eq!(hosts("w[:2]"), "w0 w1 w2");
        assert_eq!(hosts("w[1:2]:2222"), "w1 w2 port 2222");
        assert_eq!(hosts("[2001:db8::1]:22"), "2001:db8::1 port 22");
        assert_eq!(hosts("2001:db8::1"), "2001:db8::1");
    }

    #[test]
    fn a_wrong_range_says_what_is_wrong() {
        assert_eq!(hosts("w[1:2"), "`w[1:2` has a `[` without a `]`");
        assert_eq!(hosts("w[1]"), "`[1]` is not a range such as `[01:03]`, `[a:c]` or `[0:10:2]`");
        assert_eq!(hosts("w[3:1]"), "`[3:1]` ends before it begins");
        assert_eq!(
            hosts("w[01:100]"),
            "`[01:100]` needs as many digits at its end as at its begin"
        );
        assert_eq!(hosts("w[0:9:0]"), "`[0:9:0]` has a step of 0");
        assert_eq!(hosts("w[0:99999999999]"), "the range has more than 100000 hosts");
        assert_eq!(hosts("w[0:999][0:999]"), "the range has more than 100000 hosts");
        assert_eq!(hosts("w:99999"), "`99999` is not a port");
    }
}
