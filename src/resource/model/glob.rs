//! Wildcards, as shells and Ansible have them.

/// Whether a name fits a wildcard: `*`, `?`, `[abc]`, `[a-c]`, `[!abc]`.
#[must_use]
pub fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<_>, Vec<_>) = (pattern.chars().collect(), name.chars().collect());
    // Each star remembers where it stood, so that no pattern takes more than quadratic time.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => class(&pattern[p..], name[n]).map_or_else(
                || (name[n] == '[').then_some(p + 1),
                |(fits, length)| fits.then_some(p + length),
            ),
            Some(c) => (*c == name[n]).then_some(p + 1),
            None => None,
        };
        if let Some(next) = step {
            (p, n) = (next, n + 1);
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (p, n) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Whether a character is in the class that starts here, and how long the class is.
fn class(pattern: &[char], character: char) -> Option<(bool, usize)> {
    let negated = pattern.get(1) == Some(&'!');
    let start = if negated { 2 } else { 1 };
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|c| *c == ']')?;
    let (members, mut at, mut fits) = (&pattern[start..end], 0, false);
    while at < members.len() {
        if at + 2 < members.len() && members[at + 1] == '-' {
            fits |= (members[at]..=members[at + 2]).contains(&character);
            at += 3;
        } else {
            fits |= members[at] == character;
            at += 1;
        }
    }
    Some((fits != negated, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_the_containers_of_all_versions() {
        assert!(glob("shop-????????", "shop-1f9a03c7"));
        assert!(
            glob("shop-????????*", "shop-1f9a03c7") && glob("shop-????????*", "shop-1f9a03c7-2")
        );
        for other in ["shop-1f9a03c7-2", "shop-1f9a03", "shap-1f9a03c7", "shop"] {
            assert!(!glob("shop-????????", other), "{other}");
        }
    }
}
