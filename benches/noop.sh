#!/usr/bin/env bash
# `hwctl provision` where all is right, against `ssh HOST true`: with a cold connection, over a kept one
# (`--persist`), and both with 30 ms added to each round trip. In turn on one lab host: medians, and the
# median of the rounds' ratios, since a shared machine is slower in one round than in another.
# Needs root, as the lab does, and python3. Usage: benches/noop.sh [--json] [ROUNDS]
# HWCTL names a ready hwctl.
set -euo pipefail
cd "$(dirname "$0")/.."
json=
if [[ ${1-} == --json ]]; then json=yes && shift; fi
rounds=${1:-15}
if [[ -z ${HWCTL-} ]]; then
    cargo build --release --quiet
    HWCTL=$(find target -path '*release/hwctl' -type f -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2)
fi
hwctl=$(realpath "$HWCTL")
lab=${HWCTL_LAB_DIR:-/var/lib/hwctl/lab}
readonly name=noop-bench-$$
folder=$(mktemp -d)
delay=
fail() { echo "benches/noop.sh: $*" >&2 && exit 1; }
finish() {
    trap '' INT TERM
    [[ -z $delay ]] || kill "$delay" 2>/dev/null || true
    ssh "${way[@]}" -O exit "$address" 2>/dev/null || true
    rm -rf "$folder"
    "$hwctl" lab down "$name" >/dev/null || echo "benches/noop.sh: the lab host $name is still there" >&2
}
address='' way=()
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$hwctl" lab up "$name" >"$folder/host" 2>/dev/null || fail "no lab host: see hwctl lab up"
address=$(awk '{ print $2 }' "$folder/host")
network=${address#*.*.}
archive=$(find "$lab/images" -name 'redis-*.tar' 2>/dev/null | head -n 1)
cat >"$folder/inventory.yaml" <<INVENTORY
all:
  vars:
    redis: { ${archive:+image_archive: $archive} }
    api: { users: { bench: bench } }
    sites: { site2: { users: { bench: bench } } }
  hosts:
    bench:
      ansible_host: $address
      ansible_user: ubuntu
      ansible_ssh_private_key_file: $lab/key/id_ed25519
INVENTORY
# What hwctl tells ssh, too.
way=(-o BatchMode=yes -o IdentitiesOnly=yes -i "$lab/key/id_ed25519" -l ubuntu
    -o UserKnownHostsFile="$lab/hosts/$name/known_hosts" -o ControlPath="$folder/ssh")
export XDG_RUNTIME_DIR=$folder
provision() { "$hwctl" provision --inventory "$folder/inventory.yaml" --known-hosts "$lab/hosts/$name/known_hosts" "$@"; }
provision >"$folder/said" 2>&1 || { cat "$folder/said" >&2 && fail "the host cannot be provisioned"; }

cold_ssh() { ssh "${way[@]}" -S none "$address" true; }
kept_ssh() { ssh "${way[@]}" "$address" true; }
cold_hwctl() { provision; }
kept_hwctl() { provision --persist; }

# One measurement, as a line of $folder/figures: round, name, milliseconds.
measure() {
    local start=$EPOCHREALTIME end
    "${1}_$2" >"$folder/said" 2>&1 </dev/null || { cat "$folder/said" >&2 && fail "$2 fails, $1"; }
    end=$EPOCHREALTIME
    [[ $2 == ssh ]] || grep -q unchanged "$folder/said" || fail "the no-op is none"
    awk "BEGIN { print $round, \"$1-$2$3\", ($end - $start) * 1000 }" >>"$folder/figures"
}

# All four in turn; $1 is put after their names.
in_turn() {
    ssh "${way[@]}" -M -f -N -o ControlPersist=600 "$address"
    provision --persist >/dev/null
    for ((round = 1; round <= rounds; round++)); do
        for what in cold kept; do
            measure "$what" ssh "$1" && measure "$what" hwctl "$1"
        done
    done
    ssh "${way[@]}" -O exit "$address" 2>/dev/null
}

in_turn ''
coproc DELAY { exec python3 benches/delay.py "hwctl-${network%.*}" "$address" 15; }
delay=$DELAY_PID
read -r -t 10 _ <&"${DELAY[0]}" || fail "no delay: see benches/delay.py"
# Connections that were kept know another way.
export XDG_RUNTIME_DIR=$folder/far
mkdir -m 700 "$folder/far"
in_turn -far

median() { sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }
figure() { awk -v name="$1" '$2 == name { print $3 }' "$folder/figures" | median; }
ratio() {
    awk -v a="$1" -v b="$2" '{ ms[$1, $2] = $3; rounds[$1] }
        END { for (round in rounds) printf "%.2f\n", ms[round, a] / ms[round, b] }' "$folder/figures" | median
}
row() { # name, what, added latency, its goal
    local ssh noop
    ssh=$(figure "$1-ssh$3") noop=$(figure "$1-hwctl$3")
    if [[ $json ]]; then
        printf '"%s":{"ssh_ms":%.1f,"noop_ms":%.1f,"ratio":%s}' "$1$3" "$ssh" "$noop" "$(ratio "$1-hwctl$3" "$1-ssh$3")"
    else
        printf '%-32s %12.1f %12.1f %8s  %s\n' "$2" "$ssh" "$noop" "$(ratio "$1-hwctl$3" "$1-ssh$3")" "$4"
    fi
}
trips=$(awk "BEGIN { printf \"%.1f\", ($(figure cold-hwctl-far) - $(figure cold-hwctl) - $(figure cold-ssh-far) + $(figure cold-ssh)) / 30 }")
if [[ $json ]]; then
    printf '{%s,%s,%s,%s,"round_trips_beyond_ssh":%s,"rounds":%d}\n' "$(row cold '' '' '')" "$(row kept '' '' '')" \
        "$(row cold '' -far '')" "$(row kept '' -far '')" "$trips" "$rounds"
else
    printf '%-32s %12s %12s %8s\n' '' 'ssh true, ms' 'no-op, ms' 'ratio'
    row cold 'cold' '' 'goal: ratio 1.3'
    row kept 'kept connection' '' 'goal: 60 ms'
    row cold 'cold, 30 ms added' -far ''
    row kept 'kept connection, 30 ms added' -far ''
    echo "round trips beyond ssh's own: $trips (goal: 3 at most)"
fi
