//! The end-to-end tests in one program: hwctl as a user runs it, most of it on real lab hosts.
//!
//! `cargo test NAME` runs one of them. Each stands alone: it has a lab host of its own, and the
//! order does not matter (`HWCTL_TEST_SHUFFLE=7 cargo test` runs them in another one).

#[macro_use]
mod harness;
mod host;
mod load;
mod python;
mod typescript;
mod webdriver;

mod api;
mod apps;
mod bad_changes;
mod balancer;
mod become_root;
mod browser;
mod cert;
mod cli;
mod cloud_init;
mod containers;
mod crates;
mod daily;
mod deploy;
mod destroy;
mod doctor;
mod examples;
mod faults;
mod firewall;
mod fleet;
mod given_back;
mod greeter;
mod handbook;
mod here;
mod history;
mod hostile;
mod inventory;
mod lab;
mod large_files;
mod laws;
mod layers;
mod lock_out;
mod monitoring;
mod neighbors;
mod nginx;
mod nginx_of_others;
mod obstacles;
mod outlive;
mod own;
mod parts;
mod persist;
mod postgres;
mod provision;
mod pull;
mod reach;
mod redis_data;
mod reference;
mod refusals;
mod review;
mod roles;
mod safety;
mod schema;
mod secrets;
mod sites;
mod ssh_keys;
mod takeover;
mod terminal;
mod trees;
mod watch;
mod way_on;
mod words;

/// Tests that take long come first, so that the last ones to run are short.
const TESTS: &[&[harness::Case]] = &[
    faults::TESTS,
    monitoring::TESTS,
    monitoring::fleet::TESTS,
    monitoring::alerts::TESTS,
    monitoring::ways_back::TESTS,
    watch::trends::TESTS,
    secrets::TESTS,
    containers::TESTS,
    balancer::TESTS,
    balancer::neighbors::TESTS,
    balancer::tokens::TESTS,
    balancer::virtual_address::TESTS,
    examples::TESTS,
    roles::TESTS,
    watch::TESTS,
    bad_changes::TESTS,
    become_root::TESTS,
    api::TESTS,
    apps::native::TESTS,
    apps::containers::TESTS,
    apps::serving::TESTS,
    apps::verbs::TESTS,
    apps::doctor::TESTS,
    handbook::TESTS,
    sites::TESTS,
    trees::TESTS,
    given_back::TESTS,
    large_files::TESTS,
    greeter::TESTS,
    nginx_of_others::TESTS,
    own::TESTS,
    history::TESTS,
    schema::TESTS,
    ssh_keys::TESTS,
    provision::TESTS,
    nginx::TESTS,
    outlive::TESTS,
    destroy::TESTS,
    doctor::TESTS,
    deploy::TESTS,
    firewall::TESTS,
    safety::TESTS,
    lock_out::TESTS,
    refusals::TESTS,
    review::TESTS,
    takeover::TESTS,
    daily::status::TESTS,
    daily::verify::TESTS,
    daily::logs::TESTS,
    daily::commands::TESTS,
    daily::redis::TESTS,
    daily::restart::TESTS,
    cert::TESTS,
    neighbors::TESTS,
    obstacles::TESTS,
    parts::TESTS,
    persist::TESTS,
    postgres::TESTS,
    pull::TESTS,
    reach::TESTS,
    here::TESTS,
    browser::TESTS,
    hostile::links::TESTS,
    hostile::streams::TESTS,
    hostile::values::TESTS,
    way_on::TESTS,
    words::TESTS,
    crates::TESTS,
    lab::TESTS,
    redis_data::TESTS,
    reference::TESTS,
    inventory::ansible::TESTS,
    inventory::corpus::TESTS,
    inventory::evaluation::TESTS,
    inventory::hostile::TESTS,
    inventory::hosts::TESTS,
    inventory::messages::TESTS,
    inventory::passwords::TESTS,
    inventory::schema::TESTS,
    inventory::values::TESTS,
    cli::TESTS,
    cloud_init::TESTS,
    fleet::TESTS,
    terminal::TESTS,
    laws::TESTS,
    layers::TESTS,
];

fn main() -> std::process::ExitCode {
    harness::run(TESTS)
}
