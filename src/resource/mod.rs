//! The things a host can have: each kind with its desired state, read, diff, apply and undo.
//!
//! A kind reads the host through [`Host`] and nothing else; it knows no ssh, no terminal and no
//! inventory. [`Resource`] is the sum of all kinds and the only type the engine handles.
//!
//! Imports run down only: `registry` and `compare`, then `kinds`, `cache`, `host`, `model`.

mod cache;
mod compare;
mod host;
mod kinds;
#[cfg(test)]
mod law_tests;
mod model;
mod registry;

pub use cache::digest_cache::identity;
pub use cache::settled_folders::{FolderDigest, FolderLook};
pub use compare::compare;
pub use host::accounts::Accounts;
pub use host::docker::{containers_named, require as require_docker};
pub use host::entry::sweep;
pub use host::fs::{Owner, has_group, has_user, remove_file, user_name, write_atomic};
pub use host::interfaces::outer_interfaces;
pub use host::large_files::{MAX_FILE, give_up_large_files, kept_large_files};
pub use host::listeners::{Listener, listeners, listeners_of};
pub use host::path_state::PathState;
pub use host::restarts::{
    RecentRestarts, of_container as restarts_of_container, of_unit as restarts_of_unit,
};
pub use host::systemd::{reload_systemd_if_owed, reload_systemd_if_stale, show as show_units};
pub use host::units::{field as unit_field, read_units};
pub use host::{BlobSource, Host, MemoEntry, Progress, StartRecord, last_lines};
pub use kinds::certificate::{
    Certificate, CertificateInfo, CertificateState, certificate_info, expiry, fingerprint,
};
pub use kinds::container;
pub use kinds::container::{Container, ContainerState, Mount, MountSource, PublishedPort};
pub use kinds::directory::{Directory, DirectoryState};
pub use kinds::file::content::{Content, Part};
pub use kinds::file::json_settings::JsonSettings;
pub use kinds::file::{Absent, File};
pub use kinds::firewall::{
    Exposure, Firewall, FirewallPort, FirewallState, Opening, Transport, exposure,
    firewall_package, is_firewall_loaded, reload_firewall,
};
pub use kinds::health::{Health, HealthAddress, HealthFault, Unhealthy};
pub use kinds::host_secret::{HostSecret, HostSecretState};
pub use kinds::image::{Image, ImageState, RegistryLogin};
pub use kinds::kind::{Examined, Reading, Weighed};
pub use kinds::link::Link;
pub use kinds::login::{Login, LoginState};
pub use kinds::network::{Network, NetworkState};
pub use kinds::nginx_reload::{reload_nginx, test_nginx};
pub use kinds::packages::{
    Packages, PackagesState, installed_version, pending_security_updates, security_lists_version,
};
pub use kinds::ssh_keys::{SshKey, SshKeys, SshKeysState};
pub use kinds::sysctl::Sysctl;
pub use kinds::task::{Task, TaskState};
pub use kinds::unit::{OnChange, TRIAL_FOLDER, Unit, UnitState};
pub use kinds::user::{User, UserState};
pub use kinds::volume::{Volume, VolumeState};
pub use model::blob::Blob;
pub use model::change::{Action, Back, Change, Detail};
pub use model::digest::{file_digest, hex, sha256};
pub use model::environment::{parse_environment, quote_variable};
pub use model::facts::{Facts, Version};
pub use model::glob::glob;
pub use model::hint::{Advise, Hint};
pub use model::id::Id;
pub use model::own_folder::not_own;
pub use model::password_hash::HashScheme;
pub use model::profile::{Needs, Pace, Place, Profile, Risk, Undo};
pub use model::saved::{Saved, decode, encode};
pub use model::secret::Secret;
pub use registry::{Declared, Resource, keep_for_next_run};
