#!/usr/bin/env bash
# `hwctl status` of one host against `ssh HOST true`, both cold, in turn; and of eight hosts at once
# against one, beside the same of `ssh HOST true`: what the machine, which also is the hosts, can do at all.
# Usage: benches/status.sh [ROUNDS]; see benches/lab.sh.
cd "$(dirname "$0")/.."
. benches/lab.sh
rounds=${1:-11} count=8
up "$name-1" --count "$count"
mapfile -t all < <(seq -f "$name-%.0f" "$count")
use_hosts "${all[@]}"
provision
one=${all[0]}

for ((round = 1; round <= rounds; round++)); do
    measure ssh true_on "$one"
    measure status hwctl status --host "$one"
    measure status-all hwctl status
    measure ssh-all each true_on
done
row() { printf '%-32s %8.1f ms\n' "$1" "$(figure "$2")"; }
row 'ssh HOST true, cold' ssh
row "the same, $count hosts at once" ssh-all
row 'hwctl status, one host' status
row "hwctl status, $count hosts" status-all
row() { printf '%-32s %8s\n' "$1" "$(ratio "$2" "$3")"; }
row 'status of one host / ssh' status ssh
row "status of $count hosts / one" status-all status
row "ssh of $count hosts / one status" ssh-all status
