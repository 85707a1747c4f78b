//! The variables of the host's names and of its certificate.

use hwctl_limits::CERTIFICATE_DAYS;

use crate::inventory::schema::{
    As, Choice, Declared, Fields, List, Map, Number, Reader, Text, Variable,
};
use crate::inventory::{check, patterns};
use crate::vars;

pub(super) const VARIABLES: &[Declared] = &[Declared::of::<ServerNames>(), Declared::of::<Tls>()];

/// Names and addresses that the host serves besides its own address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerNames(pub Vec<String>);

impl Variable for ServerNames {
    const NAME: &'static str = "server_names";
    const DOC: &'static str = "host names or addresses served besides the host's own address";
    const DEFAULT: &'static str = "[]";
    type Rule = As<List<Text<String>>, Self>;
    const RULE: &'static Self::Rule = &As { rule: List(SERVER_NAME), make: Self };
}

const SERVER_NAME: Text<String> = Text {
    expected: "a host name or an IP address",
    pattern: patterns::SERVER_NAME,
    check: check::server_name,
};

vars! {
    /// The certificate of port 443.
    pub struct Tls {
        /// where the certificate comes from: `self-signed` is made on the host; there is no other mode yet
        mode: TlsMode = "self-signed", Choice(&[("self-signed", TlsMode::SelfSigned)]);
        /// life of a certificate in days
        days: u16 = "90", DAYS;
        /// a certificate is renewed with fewer days than this left; less than `tls.days`
        renew_before: u16 = "30", DAYS_BEFORE;
    }
}

const DAYS: Number<u16> = Number { min: *CERTIFICATE_DAYS.start(), max: *CERTIFICATE_DAYS.end() };
const DAYS_BEFORE: Number<u16> = Number { min: 1, max: *CERTIFICATE_DAYS.end() - 1 };

/// Where a certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Made and signed on the host itself.
    SelfSigned,
}

impl Variable for Tls {
    const NAME: &'static str = "tls";
    const DOC: &'static str = "the certificate of port 443";
    type Rule = Map<Self>;
    const RULE: &'static Map<Self> = &Map::checked(renews_in_time);
}

fn renews_in_time(tls: &Tls, reader: &mut Reader<'_>, fields: &Fields<'_>) -> bool {
    if tls.renew_before < tls.days {
        return true;
    }
    let message = format!(
        "`tls.renew_before` is {}, which is not less than `tls.days`, {}",
        tls.renew_before, tls.days
    );
    let written = fields.optional("renew_before").or_else(|| fields.optional("days"));
    written.and_then(|field| reader.refuse(&field, message, "")).unwrap_or(false)
}
