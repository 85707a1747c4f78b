#!/usr/bin/env bash
# Feeds hostile bytes to the decoders of the protocol. Needs a C++ compiler for libFuzzer, and no nightly Rust.
#
# Usage: fuzz/run.sh [OPTION]...          options of libFuzzer, such as -max_total_time=600
set -euo pipefail
cd "$(dirname "$0")/.."

# The packages are those of the tests, so that the crates of others have the same features and are built once.
RUSTC_WRAPPER=$PWD/fuzz/rustc.sh cargo build --workspace --bin frames
# What is found to be of interest stays out of the committed corpus.
found=target/fuzz/found
mkdir -p "$found"
"target/$(rustc --print host-tuple)/debug/frames" -max_len=65536 -rss_limit_mb=512 -timeout=5 \
    -artifact_prefix=target/fuzz/ "$@" "$found" fuzz/corpus/frames
