# shellcheck shell=bash
# What the benches share: a ready hwctl, lab hosts that serve, medians. To be sourced; needs root, as the
# lab does. HWCTL names a ready hwctl; the one that was built last is taken otherwise. With SSH=hosts the
# operator's ssh is the one of the hosts' Debian, where this machine's is older.
set -euo pipefail
fail() { echo "benches/${0##*/}: $*" >&2 && exit 1; }

if [[ -z ${HWCTL-} ]]; then
    cargo build --release --quiet
    HWCTL=$(find target -path '*release/hwctl' -type f -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2)
fi
HWCTL=$(realpath "$HWCTL")
lab=${HWCTL_LAB_DIR:-/var/lib/hwctl/lab}
folder=$(mktemp -d)
readonly name=bench-$$ # and a number, or a word: the names of the hosts
password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')

round=0 # for which `measure` notes its figures; the benches count it up
delay=''
finish() {
    trap '' INT TERM
    local up
    [[ -z $delay ]] || near
    [[ ! -S $folder/ssh ]] || ssh -o ControlPath="$folder/ssh" -O exit kept 2>/dev/null || true
    mapfile -t up < <("$HWCTL" lab list | awk -v name="$name-" 'index($1, name) == 1 { print $1 }')
    ((${#up[@]} == 0)) || "$HWCTL" lab down "${up[@]}" >/dev/null || echo "benches/${0##*/}: hosts are still there" >&2
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Boots hosts; `address` has where they are.
declare -A address
up() {
    local host at
    "$HWCTL" lab up "$@" >"$folder/up" 2>/dev/null || fail "no lab host: see hwctl lab up"
    while read -r host at _; do address[$host]=$at; done <"$folder/up"
    [[ ${SSH-} != hosts || -d $folder/bin ]] || take_ssh_of_hosts
}

# From now on `ssh` is the one of the hosts' own system, with the libraries it has there.
take_ssh_of_hosts() {
    local base loader libraries
    base=$(find "$lab/base" -maxdepth 1 -name 'trixie-*' -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2)
    loader=$(find "$base"/usr/lib*/ -maxdepth 1 -name 'ld-linux*' | head -n 1)
    libraries=$(find "$base"/usr/lib -maxdepth 1 -name '*-linux-gnu*')
    mkdir "$folder/bin"
    printf '#!/bin/sh\nexec "%s" --library-path "%s" --argv0 ssh "%s" "$@"\n' \
        "$loader" "$libraries" "$base/usr/bin/ssh" >"$folder/bin/ssh"
    chmod +x "$folder/bin/ssh"
    PATH=$folder/bin:$PATH
    ssh -V 2>/dev/null || fail "the ssh of the hosts does not start here"
}
# Which ssh it is.
ssh_version() { ssh -V 2>&1 | cut -d' ' -f1 | tr -d ,; }

# The hosts that are worked on from now on: their inventory and keys.
use_hosts() {
    hosts=("$@")
    archive=$(find "$lab/images" -name 'redis-*.tar' 2>/dev/null | head -n 1)
    [[ $archive ]] || fail "make the stand-in for Redis's image first: hwctl provision --lab"
    local host
    {
        printf 'all:\n  vars:\n    ansible_user: ubuntu\n'
        echo "    ansible_ssh_private_key_file: $lab/key/id_ed25519"
        echo "    redis: { image_archive: $archive }"
        echo "    api: { users: { bench: $password } }"
        echo "    sites: { site2: { users: { bench: $password } } }"
        echo "  hosts:"
        for host in "${hosts[@]}"; do echo "    $host: { ansible_host: ${address[$host]} }"; done
    } >"$folder/inventory.yaml"
    for host in "${hosts[@]}"; do cat "$lab/hosts/$host/known_hosts"; done >"$folder/known_hosts"
}

# A verb of hwctl on those hosts.
hwctl() { (cd "$folder" && exec "$HWCTL" "$1" --known-hosts known_hosts "${@:2}"); }
provision() {
    # Not more at once than this machine, which is all of the hosts, has the CPU for.
    hwctl provision --parallel 8 >"$folder/said" 2>&1 || { cat "$folder/said" >&2 && fail "the hosts cannot be provisioned"; }
}
# A command on one host, by a connection of its own.
on() {
    local host=$1 && shift
    ssh -o "UserKnownHostsFile=$folder/known_hosts" -o BatchMode=yes -o IdentitiesOnly=yes \
        -i "$lab/key/id_ed25519" "ubuntu@${address[$host]}" "$@"
}
# A function with each host as its argument, at once.
each() {
    local pids=() host pid
    for host in "${hosts[@]}"; do "$1" "$host" & pids+=($!); done
    for pid in "${pids[@]}"; do wait "$pid"; done
}
true_on() { on "$1" true; }

# Adds 30 ms to each round trip to a host; `near` takes them away.
far() {
    local network=${address[$1]#*.*.}
    coproc DELAY { exec python3 benches/delay.py "hwctl-${network%.*}" "${address[$1]}" 15; }
    delay=$DELAY_PID
    read -r -t 10 _ <&"${DELAY[0]}" || fail "no delay: see benches/delay.py"
}
near() {
    kill "$delay" 2>/dev/null && wait "$delay" 2>/dev/null || true
    delay=''
}

# How long a command takes in this $round, in ms, as a line of $folder/figures under a name; what it says
# is in $folder/said.
measure() {
    local start=$EPOCHREALTIME end
    "${@:2}" >"$folder/said" 2>&1 </dev/null || { tail -n 40 "$folder/said" >&2 && fail "fails: $*"; }
    end=$EPOCHREALTIME
    awk "BEGIN { printf \"%d %s %.1f\n\", $round, \"$1\", (${end/./} - ${start/./}) / 1000 }" >>"$folder/figures"
}

# Runs two commands so many times; which comes first alternates.
in_turn() {
    for ((round = 1; round <= $1; round++)); do
        if ((round % 2)); then
            "$2"
            "$3"
        else
            "$3"
            "$2"
        fi
    done
}

# Writes so many pages into $folder/pages, two hundred a folder.
make_pages() {
    local page
    mkdir "$folder/pages"
    for ((page = 0; page < $1; page++)); do
        ((page % 200)) || mkdir -p "$folder/pages/$((page / 200))"
        printf '<p>This is page %d of many.</p>\n' "$page" >"$folder/pages/$((page / 200))/$page.html"
    done
    echo '<h1>Many pages</h1>' >"$folder/pages/index.html"
}

# Provisions two hosts with what is in own.yaml, too. Then measures no-ops on them in turn, so many rounds, as the
# figures `plain` and `full`.
compare_no_ops() {
    local inventories=(-i inventory.yaml -i own.yaml) plain=$2 full=$3
    hwctl provision "${inventories[@]}" >"$folder/said" 2>&1 || { cat "$folder/said" >&2 && fail "the hosts cannot be provisioned"; }
    in_turn "$1" no_op_on_plain no_op_on_full
}
no_op_on_plain() { no_op plain "$plain"; }
no_op_on_full() { no_op full "$full"; }
no_op() {
    measure "$1" hwctl provision "${inventories[@]}" "$2"
    grep -q unchanged "$folder/said" || fail "the no-op is none"
}

# Figures are lines of round, name, number…; a ratio is the median of the rounds' ratios, since a shared
# machine is slower in one round than in another.
median() {
    sort -n | awk '{ all[NR] = $1 } END {
        if (!NR) print "-"
        else print (all[int((NR + 1) / 2)] + all[int(NR / 2) + 1]) / 2
    }'
}
figure() { awk -v name="$1" -v column="${2:-3}" '$2 == name { print $column }' "$folder/figures" | median; }
ratio() {
    awk -v a="$1" -v b="$2" '$2 == a || $2 == b { value[$1, $2] = $3; rounds[$1] }
        END { for (round in rounds) if ((round, a) in value && (round, b) in value)
            printf "%.2f\n", value[round, a] / value[round, b] }' "$folder/figures" | median
}
