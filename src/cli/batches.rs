//! The sizes of batches: `2`, `25%`, `1,25%`.

use std::str::FromStr;

/// How many hosts each batch has. The last size is that of all further ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batches(Vec<Size>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Hosts(u16),
    /// A share of all hosts, rounded down, and at least one.
    Percent(u8),
}

impl Batches {
    /// The sizes of the batches of so many hosts, without end.
    pub fn sizes(&self, hosts: usize) -> impl Iterator<Item = usize> {
        let last = self.0.last().copied();
        self.0.iter().copied().chain(last.into_iter().cycle()).map(move |size| match size {
            Size::Hosts(count) => count.into(),
            Size::Percent(share) => (hosts.saturating_mul(share.into()) / 100).max(1),
        })
    }
}

impl FromStr for Batches {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(|size| size.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is neither a number of hosts, from 1 to 65535, nor a share of them, from 1% to 100%"
            )
        };
        let size = match text.strip_suffix('%') {
            Some(share) => {
                share.parse().ok().filter(|share| (1..=100).contains(share)).map(Self::Percent)
            }
            None => text.parse().ok().filter(|count| *count > 0).map(Self::Hosts),
        };
        size.ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(text: &str, hosts: usize) -> Vec<usize> {
        text.parse::<Batches>().unwrap().sizes(hosts).take(4).collect()
    }

    #[test]
    fn the_last_size_goes_on() {
        assert_eq!(sizes("2", 10), [2, 2, 2, 2]);
        assert_eq!(sizes("1, 25%", 10), [1, 2, 2, 2]);
        assert_eq!(sizes("1,2,100%", 10), [1, 2, 10, 10]);
        assert_eq!(sizes("10%", 3), [1, 1, 1, 1]);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "0", "-1", "65536", "0%", "101%", "1.5", "1,", "1;2", "%"] {
            assert!(text.parse::<Batches>().is_err(), "{text}");
        }
    }
}
