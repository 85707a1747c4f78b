#!/usr/bin/env bash
# Builds the release of the last commit twice, in two folders with different names, and compares what comes out bit by
# bit. Exit status 1: something differs.
#
# Usage: packaging/reproducible.sh [TARGET]
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp --directory)
trap 'rm -rf "$folder"' EXIT

for name in one the/other; do
    git clone --quiet . "$folder/$name"
    "$folder/$name/packaging/dist.sh" "$@"
    rm -rf "$folder/$name/target/"*-linux-*
done

if diff -r "$folder/one/target/dist" "$folder/the/other/target/dist"; then
    echo "Both builds are the same:"
    cat "$folder/one/target/dist/SHA256SUMS"
else
    echo "The two builds differ." >&2
    exit 1
fi
