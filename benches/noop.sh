#!/usr/bin/env bash
# `hwctl provision` where all is right, against `ssh HOST true`: with a cold connection, over a kept one
# (`--persist`), and both with 30 ms added to each round trip. In turn on one lab host.
# Needs python3. Usage: benches/noop.sh [--json] [ROUNDS]; see benches/lab.sh.
cd "$(dirname "$0")/.."
. benches/lab.sh
json=
if [[ ${1-} == --json ]]; then json=yes && shift; fi
rounds=${1:-15}
up "$name-1"
use_hosts "$name-1"
export XDG_RUNTIME_DIR=$folder
provision

cold_ssh() { on "$name-1" -S none true; }
kept_ssh() { on "$name-1" -o ControlPath="$folder/ssh" true; }
cold_hwctl() { hwctl provision; }
kept_hwctl() { hwctl provision --persist; }

# One of them; $3 is put after its name.
one() {
    measure "$1-$2$3" "${1}_$2"
    [[ $2 == ssh ]] || grep -q unchanged "$folder/said" || fail "the no-op is none"
}

# All four in turn.
in_turn() {
    on "$name-1" -M -f -N -o ControlPath="$folder/ssh" -o ControlPersist=600
    kept_hwctl >/dev/null
    for ((round = 1; round <= rounds; round++)); do
        for what in cold kept; do
            one "$what" ssh "$1"
            one "$what" hwctl "$1"
        done
    done
    on "$name-1" -o ControlPath="$folder/ssh" -O exit 2>/dev/null
}

in_turn ''
far "$name-1"
# Connections that were kept know another way.
export XDG_RUNTIME_DIR=$folder/far
mkdir -m 700 "$folder/far"
in_turn -far
near

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
    printf '{%s,%s,%s,%s,"round_trips_beyond_ssh":%s,"rounds":%d,"ssh":"%s"}\n' "$(row cold '' '' '')" "$(row kept '' '' '')" \
        "$(row cold '' -far '')" "$(row kept '' -far '')" "$trips" "$rounds" "$(ssh_version)"
else
    printf '%-32s %12s %12s %8s\n' '' 'ssh true, ms' 'no-op, ms' 'ratio'
    row cold 'cold' '' 'goal: ratio 1.3'
    row kept 'kept connection' '' 'goal: 60 ms'
    row cold 'cold, 30 ms added' -far ''
    row kept 'kept connection, 30 ms added' -far ''
    echo "round trips beyond ssh's own: $trips (goal: 3 at most)"
fi
