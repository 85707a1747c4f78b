//! The variable of monitoring.

use std::path::PathBuf;

use crate::inventory::schema::{
    Choice, Declared, Flag, List, Local, Map, Number, OnePassword, Optional, Password, Text,
    Variable,
};
use crate::inventory::{check, patterns};
use crate::part::containers::{IMAGE, Memory};
use crate::part::network::{NETWORK, Network};
use crate::vars;

pub(super) const VARIABLES: &[Declared] = &[Declared::of::<Monitoring>()];

vars! {
    /// What is measured on the host, and where it is kept and shown.
    pub struct Monitoring {
        /// whether the host measures itself: exporters, and the Prometheus that reads them
        enabled: bool = "false", Flag;
        /// where Prometheus comes from: `container` runs `image`, `package` is the distribution's
        source: Source = "container", Choice(&Source::WORDS);
        /// image of Prometheus
        image: String = "\"prom/prometheus:v3.5.0\"", IMAGE;
        /// local image tar, as `docker save` writes it, for hosts that reach no registry
        image_archive: Option<PathBuf> = "null", Optional(Local::FILE);
        /// volume that keeps what Prometheus has measured, where it runs in a container
        volume: String = "prometheus-data", DOCKER_NAME;
        /// port of Prometheus on the host's loopback
        port: u16 = "9090", PORT;
        /// seconds between two looks at everything
        interval: u16 = "15", Number { min: 5, max: 120 };
        /// how long samples are kept, such as `15d`
        retention: String = "15d", AGE;
        /// how much disk they take at most, such as `2GB`; the oldest go first
        retention_size: String = "2GB", SIZE;
        /// most memory that Prometheus gets, such as `512M`
        memory: u32 = "512M", Memory;
        /// secret of the fleet from which the certificates of the monitor and its peers follow, see
        /// [a monitor](monitoring.md#one-host-for-the-fleet)
        key: Option<Password> = "null", Optional(OnePassword);
        /// address at which peers see this host, where that is not the one for SSH
        address: Option<String> = "null", Optional(ADDRESS);
        /// port on which the host shows its metrics to the monitor alone
        gateway_port: u16 = "9443", PORT;
        /// Grafana at `/grafana/`; `{}` takes it with its defaults
        grafana: Option<Grafana> = "null", Optional(Map::new());
    }
}

vars! {
    /// Grafana behind nginx.
    pub struct Grafana {
        /// image of Grafana
        image: String = "\"grafana/grafana:12.4.2\"", IMAGE;
        /// local image tar, as `docker save` writes it, for hosts that reach no registry
        image_archive: Option<PathBuf> = "null", Optional(Local::FILE);
        /// volume that keeps its users and what they have made
        volume: String = "grafana-data", DOCKER_NAME;
        /// port on the host's loopback
        port: u16 = "3000", PORT;
        /// most memory it gets, such as `512M`
        memory: u32 = "512M", Memory;
        /// first password of its user `admin`; the host makes one where none is given
        password: Option<Password> = "null", Optional(OnePassword);
        /// addresses and networks that are let in; `[]` lets everyone in
        allow: Vec<Network> = "[]", List(NETWORK);
    }
}

impl Monitoring {
    /// Whether an image is to be pulled, for which a local file could stand in.
    #[must_use]
    pub fn lacks_archive(&self) -> bool {
        self.enabled && self.source == Source::Container && self.image_archive.is_none()
    }

    /// The same where only files and units are of interest, and local archives need not be read.
    #[must_use]
    pub fn without_archives(&self) -> Self {
        let grafana = self.grafana.clone();
        let grafana = grafana.map(|grafana| Grafana { image_archive: None, ..grafana });
        Self { image_archive: None, grafana, ..self.clone() }
    }
}

/// Where Prometheus comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An image of Docker.
    Container,
    /// A package of the distribution.
    Package,
}

impl Source {
    const WORDS: [(&'static str, Self); 2] =
        [("container", Self::Container), ("package", Self::Package)];
}

/// No other service of hwctl has a port as high by default.
const PORT: Number<u16> = Number { min: 1024, max: u16::MAX };

const ADDRESS: Text<String> = Text {
    expected: "an IP address",
    pattern: patterns::ADDRESS,
    check: |text| text.parse::<std::net::IpAddr>().is_ok().then(|| text.to_owned()),
};

const DOCKER_NAME: Text<String> = Text {
    expected: "a name that Docker takes (letters, digits and `_.-`)",
    pattern: patterns::DOCKER_NAME,
    check: check::docker_name,
};

const AGE: Text<String> = Text {
    expected: "a time such as `15d`, `12h`, `4w` or `1y`",
    pattern: "[1-9][0-9]{0,3}[hdwy]",
    check: |text| amount(text, &["h", "d", "w", "y"]),
};

const SIZE: Text<String> = Text {
    expected: "an amount of disk such as `500MB` or `2GB`",
    pattern: "[1-9][0-9]{0,3}(MB|GB|TB)",
    check: |text| amount(text, &["MB", "GB", "TB"]),
};

/// A number of up to four digits with one of these units.
fn amount(text: &str, units: &[&str]) -> Option<String> {
    let number = units.iter().find_map(|unit| text.strip_suffix(unit))?;
    let is_number = (1..=4).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && !number.starts_with('0');
    is_number.then(|| text.to_owned())
}

impl Variable for Monitoring {
    const NAME: &'static str = "monitoring";
    const DOC: &'static str = "exporters, Prometheus and Grafana, see [monitoring](monitoring.md)";
    const IS_COMMON: bool = true;
    type Rule = Map<Self>;
    const RULE: &'static Map<Self> = &Map::new();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_a_unit_and_no_more() {
        for text in ["15d", "1y", "9999h"] {
            assert_eq!((AGE.check)(text).as_deref(), Some(text));
        }
        for text in ["", "d", "0d", "015d", "15", "15 d", "15d --web", "10000d", "1.5d", "-1d"] {
            assert_eq!((AGE.check)(text), None, "{text}");
        }
        assert!((SIZE.check)("2GB").is_some() && (SIZE.check)("2G").is_none());
    }
}
