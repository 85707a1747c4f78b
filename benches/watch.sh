#!/usr/bin/env bash
# What a look of a host at itself costs: CPU of the service and all that it starts, as systemd counts it.
# Usage: benches/watch.sh [ROUNDS]; see benches/lab.sh.
cd "$(dirname "$0")/.."
. benches/lab.sh
rounds=${1:-11}
up "$name-1"
use_hosts "$name-1"
sed -i 's|^  vars:$|  vars:\n    notify: [{ webhook: "http://127.0.0.1:9/hook" }]\n    watch: { every: 1d }|' "$folder/inventory.yaml"
provision
host=$name-1
on "$host" sudo systemctl start hwctl-watch.service

# systemd starts a service five times within ten seconds at most.
look() { on "$host" "sudo systemctl reset-failed hwctl-watch.service; sudo systemctl start hwctl-watch.service && systemctl show -P CPUUsageNSec hwctl-watch.service"; }
for ((round = 1; round <= rounds; round++)); do
    awk -v round="$round" '{ printf "%d look %.1f\n", round, $1 / 1e6 }' <(look) >>"$folder/figures"
done
printf '%-32s %8.1f ms of CPU\n' 'a look at a healthy host' "$(figure look)"

on "$host" sudo systemctl stop nginx
look >/dev/null # tells of it, by two looks
for ((round = 1; round <= rounds; round++)); do
    awk -v round="$round" '{ printf "%d fault %.1f\n", round, $1 / 1e6 }' <(look) >>"$folder/figures"
done
printf '%-32s %8.1f ms of CPU\n' 'while a fault lasts' "$(figure fault)"
