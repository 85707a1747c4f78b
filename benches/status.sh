#!/usr/bin/env bash
# `hwctl status` of one host against `ssh HOST true`, both cold, in turn; and of eight hosts at once
# against one: medians and ratios. Needs root, as the lab does.
# Usage: benches/status.sh [ROUNDS]; HWCTL names a ready binary.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-11}
hosts=8
if [[ -z ${HWCTL:-} ]]; then
    cargo build --release --quiet
    HWCTL=$(find target -path "*release/hwctl" -type f | head -n 1)
fi
hwctl=$(realpath "$HWCTL")
folder=$(mktemp -d)
names=()
for ((number = 1; number <= hosts; number++)); do names+=("bench-status$number"); done
finish() {
    "$hwctl" lab down "${names[@]}" >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap finish EXIT

"$hwctl" lab up bench-status1 --count "$hosts" >"$folder/hosts"
lab=${HWCTL_LAB_DIR:-/var/lib/hwctl/lab}
archive=$(find "$lab/images" -name 'redis-*.tar' | head -n 1)
if [[ -z $archive ]]; then
    echo "make the stand-in for Redis's image first: hwctl provision --lab" >&2
    exit 1
fi
{
    echo "all:"
    echo "  vars:"
    echo "    ansible_user: ubuntu"
    echo "    ansible_ssh_private_key_file: $lab/key/id_ed25519"
    echo "    redis: { image_archive: $archive }"
    echo "    api: { users: { admin: bench } }"
    echo "    sites: { site2: { users: { admin: bench } } }"
    echo "  hosts:"
    awk '{ print "    " $1 ": { ansible_host: " $2 " }" }' "$folder/hosts"
} >"$folder/inventory.yaml"
cat "$lab"/hosts/bench-status*/known_hosts >"$folder/known_hosts"
cd "$folder"
known=(--known-hosts known_hosts)
"$hwctl" provision "${known[@]}" >/dev/null

micros() {
    local start=$EPOCHREALTIME
    "$@" >/dev/null 2>&1
    local end=$EPOCHREALTIME
    echo $((${end/./} - ${start/./}))
}
median() { sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }
row() { printf '%-32s %8.1f ms\n' "$1" "$(awk "BEGIN { print $2 / 1000 }")"; }
ratio() { printf '%-32s %8.2f\n' "$1" "$(awk "BEGIN { print $2 / $3 }")"; }

# What the machine can do at all: its hosts share its processors.
ssh_to_all() {
    for name in "${names[@]}"; do "$hwctl" ssh "$name" "${known[@]}" -- true & done
    wait
}

ssh_times=() one_times=() all_times=() ssh_all_times=()
for ((round = 0; round < rounds; round++)); do
    ssh_times+=("$(micros "$hwctl" ssh bench-status1 "${known[@]}" -- true)")
    one_times+=("$(micros "$hwctl" status --host bench-status1 "${known[@]}")")
    all_times+=("$(micros "$hwctl" status "${known[@]}")")
    ssh_all_times+=("$(micros ssh_to_all)")
done
ssh=$(printf '%s\n' "${ssh_times[@]}" | median)
one=$(printf '%s\n' "${one_times[@]}" | median)
all=$(printf '%s\n' "${all_times[@]}" | median)
ssh_all=$(printf '%s\n' "${ssh_all_times[@]}" | median)
row 'ssh HOST true, cold' "$ssh"
row "ssh true on $hosts hosts at once" "$ssh_all"
row 'hwctl status, one host' "$one"
row "hwctl status, $hosts hosts" "$all"
ratio 'one host / ssh' "$one" "$ssh"
ratio "$hosts hosts / one host" "$all" "$one"
ratio "the same of ssh" "$ssh_all" "$ssh"
