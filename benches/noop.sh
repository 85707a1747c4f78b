#!/usr/bin/env bash
# No-op provision against `ssh HOST true`, both cold, in turn on one lab host: medians and ratio.
# Needs root, as the lab does. Usage: benches/noop.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-15}
cargo build --release --quiet
hwctl=$(find target -path "*release/hwctl" -type f | head -n 1)
name=lab1
was_up=$("$hwctl" lab list | awk -v name="$name" '$1 == name { print 1 }')
"$hwctl" provision --lab >/dev/null
finish() { [[ -n $was_up ]] || "$hwctl" lab down "$name" >/dev/null; }
trap finish EXIT

seconds() {
    local start=$EPOCHREALTIME
    "$@" >/dev/null 2>&1
    local end=$EPOCHREALTIME
    echo $((${end/./} - ${start/./}))
}
median() { sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

ssh_times=() noop_times=()
for ((round = 0; round < rounds; round++)); do
    ssh_times+=("$(seconds "$hwctl" lab ssh "$name" -- true)")
    noop_times+=("$(seconds "$hwctl" provision --lab)")
done
ssh=$(printf '%s\n' "${ssh_times[@]}" | median)
noop=$(printf '%s\n' "${noop_times[@]}" | median)
printf '%-28s %8.1f ms\n' 'ssh HOST true, cold' "$(awk "BEGIN { print $ssh / 1000 }")"
printf '%-28s %8.1f ms\n' 'hwctl provision, no-op' "$(awk "BEGIN { print $noop / 1000 }")"
printf '%-28s %8.2f\n' 'ratio' "$(awk "BEGIN { print $noop / $ssh }")"
