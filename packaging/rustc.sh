#!/usr/bin/env bash
# Calls rustc, whose command line follows, with names in the place of this machine's folders. In RUSTFLAGS the folders would
# change the names that cargo gives to crates, and with them the order of code.
set -euo pipefail
root=$(realpath "$(dirname "$0")/..")
exec "$@" "--remap-path-prefix=$root=/hwctl" "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
