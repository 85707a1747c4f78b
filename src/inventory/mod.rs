//! Ansible-style YAML in, typed vars out.

mod vars;

pub use vars::{
    Api, Auto, Firewall, Interval, Logrotate, Network, Port, Protocol, Redis, Site, Tls, TlsMode,
    Vars, Workers,
};
