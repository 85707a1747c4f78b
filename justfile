# Chores of hwctl's developers. `cargo` alone builds and tests everything; this is for convenience.
# Install just with `cargo install just`, or take the one that `.ci/check` puts into target/tools/python/bin.

# List the chores
[private]
default:
    @just --list

# Run all tests; those on lab hosts need root
test:
    cargo test

# Run the tests whose name contains NAME
test-one NAME:
    cargo test {{ NAME }}

# Check format, lints, documentation, dependencies and shell scripts
check:
    .ci/check

# Run what CI runs, as root
ci:
    .ci/run

# Run the fuzzer of the protocol, for example with `-max_total_time=600`
fuzz *OPTIONS:
    fuzz/run.sh {{ OPTIONS }}

# Run README's first commands on a bare machine, as root
bare:
    tests/bare.sh

# Work with lab hosts, for example `just lab up --count 3`
lab *ARGS="list":
    cargo run --quiet -- lab {{ ARGS }}

# Run a bench: noop, reviewed, status, api, pages, faults or peers
bench NAME="noop" *ARGS:
    benches/{{ NAME }}.sh {{ ARGS }}

# Build the release into target/dist: tar archive, Debian package, bill of materials, checksums
dist *TARGET:
    packaging/dist.sh {{ TARGET }}

# Build the release twice and compare the results bit by bit
reproducible *TARGET:
    packaging/reproducible.sh {{ TARGET }}

# Install, use and remove the Debian package on lab hosts, as root
packages:
    tests/packages.sh
