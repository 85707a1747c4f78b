#!/usr/bin/env bash
# hwctl against Ansible, pyinfra and a shell script that bring a host to the same stack: each in turn on
# lab hosts, in one run. The peers get hwctl's own files of a provisioned host (benches/peers/), and
# none of them looks from outside afterwards or can take back what it did, as hwctl does.
# Needs root, as the lab does, and pip. HWCTL names a ready hwctl.
# Usage: benches/peers.sh [--json] [--rounds N] [--hosts N] [noop|first|fleet]...
set -euo pipefail
cd "$(dirname "$0")/.."
json='' rounds=3 count=8 parts=()
while (($#)); do
    case $1 in
    --json) json=yes ;;
    --rounds) rounds=$2 && shift ;;
    --hosts) count=$2 && shift ;;
    noop | first | fleet) parts+=("$1") ;;
    *) sed -n 's/^# Usage: /usage: /p' "$0" >&2 && exit 2 ;;
    esac
    shift
done
((${#parts[@]})) || parts=(noop first fleet)
if [[ -z ${HWCTL-} ]]; then
    cargo build --release --quiet
    HWCTL=$(find target -path '*release/hwctl' -type f -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2)
fi
HWCTL=$(realpath "$HWCTL")
lab=${HWCTL_LAB_DIR:-/var/lib/hwctl/lab} peers=$PWD/benches/peers
folder=$(mktemp -d)
readonly name=peers-$$
finish() {
    trap '' INT TERM
    rm -rf "$folder"
    local up
    mapfile -t up < <("$HWCTL" lab list | awk -v name="$name-" 'index($1, name) == 1 { print $1 }')
    ((${#up[@]} == 0)) || "$HWCTL" lab down "${up[@]}" >/dev/null || echo "benches/peers.sh: hosts are still there" >&2
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
fail() { echo "benches/peers.sh: $*" >&2 && exit 1; }

venv=target/bench-peers
if [[ ! -x $venv/bin/pyinfra ]] || ! cmp -s "$peers/requirements.txt" $venv/installed; then
    python3 -m venv $venv
    $venv/bin/pip install --quiet --requirement "$peers/requirements.txt"
    cp "$peers/requirements.txt" $venv/installed
fi
venv=$PWD/$venv
mitogen=$("$venv/bin/python" -c 'import ansible_mitogen, os; print(os.path.dirname(ansible_mitogen.__file__))')


# Boots hosts; `address` has where they are.
declare -A address
up() {
    local host at
    "$HWCTL" lab up "$@" >"$folder/up" 2>/dev/null || fail "no lab host: see hwctl lab up"
    while read -r host at _; do address[$host]=$at; done <"$folder/up"
}
# The hosts that the tools work on from now on, as each of them wants to have it.
use() {
    hosts=("$@")
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
    {
        echo "hosts = ["
        for host in "${hosts[@]}"; do
            echo "    ('${address[$host]}', {'ssh_user': 'ubuntu', '_sudo': True, 'ssh_key': '$lab/key/id_ed25519',"
            echo "        'ssh_known_hosts_file': '$folder/known_hosts'}),"
        done
        echo "]"
    } >"$folder/hosts.py"
    for host in "${hosts[@]}"; do cat "$lab/hosts/$host/known_hosts"; done >"$folder/known_hosts"
}

on() {
    local host=$1 && shift
    ssh -o "UserKnownHostsFile=$folder/known_hosts" -o BatchMode=yes -i "$lab/key/id_ed25519" \
        "ubuntu@${address[$host]}" "$@"
}
# A function with each host as its argument, at once.
each() {
    local pids=() host pid
    for host in "${hosts[@]}"; do "$1" "$host" & pids+=($!); done
    for pid in "${pids[@]}"; do wait "$pid"; done
}
true_on() { on "$1" true; }
shell_on() {
    # What is large goes only to a host that wants it, while apt works there.
    on "$1" 'd=$(mktemp -d) && tar -xz -C $d && sudo $d/stack.sh'" ${packages[*]}" <"$folder/small.tgz" |
        while read -r line; do
            [[ $line != wanted ]] || on "$1" 'tar -xz -C /var/tmp && touch /var/tmp/large.done' <"$folder/large.tgz" &
        done
}
ansible() {
    # A folder of its own: no connection is left from the last time.
    ANSIBLE_LOCAL_TEMP=$(mktemp -d -p "$folder") && export ANSIBLE_LOCAL_TEMP
    env ANSIBLE_SSH_CONTROL_PATH_DIR="$ANSIBLE_LOCAL_TEMP" ANSIBLE_PIPELINING=1 ANSIBLE_FORKS=64 \
        ANSIBLE_DEPRECATION_WARNINGS=0 ANSIBLE_PYTHON_INTERPRETER=/usr/bin/python3 \
        ANSIBLE_SSH_ARGS="-o ControlMaster=auto -o ControlPersist=5s -o UserKnownHostsFile=$folder/known_hosts" "$@" \
        "$venv/bin/ansible-playbook" -i "$folder/inventory.yaml" "$peers/playbook.yml" \
        -e "{stack: $(tr -d '\n' <"$folder/stack.json"), archive: $archive}"
}
run_ssh() { each true_on; }
run_hwctl() { (cd "$folder" && "$HWCTL" provision --known-hosts known_hosts); }
run_shell() { each shell_on; }
run_pyinfra() {
    STACK=$folder/stack.json ARCHIVE=$archive "$venv/bin/pyinfra" -y "$folder/hosts.py" "$peers/deploy.py"
}
run_mitogen() { ansible ANSIBLE_STRATEGY_PLUGINS="$mitogen/plugins/strategy" ANSIBLE_STRATEGY=mitogen_linear; }
run_ansible() { ansible; }

# One figure, as a line of $folder/figures: part, tool, milliseconds.
measure() {
    local part=$1 tool=$2 start=$EPOCHREALTIME end
    "run_$tool" >"$folder/said" 2>&1 || { tail -n 40 "$folder/said" >&2 && fail "$tool fails ($part)"; }
    end=$EPOCHREALTIME
    case $part-$tool in
    noop-hwctl | fleet-hwctl) grep -q ': unchanged' "$folder/said" ;;
    noop-mitogen | noop-ansible | fleet-mitogen | fleet-ansible) ! grep -q 'changed=[1-9]' "$folder/said" ;;
    esac || { tail -n 40 "$folder/said" >&2 && fail "$tool finds something to change ($part)"; }
    echo "$part $tool $(((${end/./} - ${start/./}) / 1000))" | tee -a "$folder/figures" >&2
}
# Every tool has to have made a host that serves.
require_serving() {
    local host answer
    for host in "${hosts[@]}"; do
        answer=$(curl -sk -m 10 "https://${address[$host]}/flask/api/health" -w ' %{http_code}')
        [[ $answer == *' 200' ]] || fail "after $1 $host does not serve: $answer"
    done
}

password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
archive=$(find "$lab/images" -name 'redis-*.tar' 2>/dev/null | head -n 1)
[[ $archive ]] || fail "make the stand-in for Redis's image first: hwctl provision --lab"
tools=(hwctl shell pyinfra mitogen ansible)

# What the peers put there comes from a host that hwctl has provisioned.
up "$name-1"
use "$name-1"
(cd "$folder" && "$HWCTL" plan --json --known-hosts known_hosts) >"$folder/plan" || (($? == 3)) || fail "no plan"
run_hwctl >"$folder/said" 2>&1 || { cat "$folder/said" >&2 && fail "the host cannot be provisioned"; }
on "$name-1" "sudo sh -c 'cd / && find etc/nginx etc/systemd/system etc/ufw etc/hwctl etc/logrotate.d etc/sysctl.d var/www \
    var/lib/redis-flask usr/local/lib/hwctl/api home/ubuntu/Flask-app ! -type s | tar -c --no-recursion -T -'" |
    python3 "$peers/payload.py" "$folder/plan" "$folder"
mapfile -t packages < <(python3 -c "import json; print(*json.load(open('$folder/stack.json'))['packages'], sep='\n')")
mkdir "$folder/large"
find "$folder/files" -path '*/api/flask-app-*' -type f -exec cp {} "$folder/large/api" \;
cp "$archive" "$folder/large/redis.tar"
tar -cz -C "$folder" large >"$folder/large.tgz"
cp "$peers/stack.sh" "$folder/"
tar -cz -C "$folder" --exclude 'flask-app-*' stack.sh files.tsv files >"$folder/small.tgz"

for part in "${parts[@]}"; do
    case $part in
    noop)
        # What each tool would still change is changed once, unmeasured.
        for tool in "${tools[@]}"; do measure settle "$tool"; done
        for ((round = 0; round < rounds; round++)); do
            for tool in ssh "${tools[@]}"; do measure noop "$tool"; done
        done
        ;;
    first)
        for ((round = 0; round < rounds; round++)); do
            for tool in "${tools[@]}"; do
                up "$name-first"
                use "$name-first"
                measure first "$tool"
                require_serving "$tool"
                "$HWCTL" lab down "$name-first" >/dev/null
            done
        done
        use "$name-1"
        ;;
    fleet)
        up "$name-1" --count "$count"
        mapfile -t all < <(seq -f "$name-%.0f" "$count")
        use "${all[@]}"
        run_hwctl >"$folder/said" 2>&1 || { cat "$folder/said" >&2 && fail "the hosts cannot be provisioned"; }
        for ((round = 0; round < rounds; round++)); do
            for tool in ssh hwctl; do measure fleet "$tool"; done
        done
        # The peers give every host the secrets of the first one, which hwctl would change back.
        for tool in "${tools[@]:1}"; do measure settle "$tool"; done
        for ((round = 0; round < rounds; round++)); do
            for tool in "${tools[@]:1}"; do measure fleet "$tool"; done
        done
        use "$name-1"
        ;;
    esac
done

median() {
    awk -v part="$1" -v tool="$2" '$1 == part && $2 == tool { print $3 }' "$folder/figures" | sort -n |
        awk '{ all[NR] = $1 } END { print NR ? all[int((NR + 1) / 2)] : 0 }'
}
if [[ $json ]]; then
    for part in "${parts[@]}"; do
        for tool in ssh "${tools[@]}"; do printf '%s %s %s\n' "$part" "$tool" "$(median "$part" "$tool")"; done
    done | python3 -c '
import json, sys
told = {}
for part, tool, median in map(str.split, sys.stdin):
    if int(median):
        told.setdefault(part, {})[tool] = int(median)
print(json.dumps({"median_ms": told, "rounds": int(sys.argv[1]), "hosts": int(sys.argv[2])}))' "$rounds" "$count"
else
    printf '%-6s %-10s %10s %12s\n' '' tool seconds 'to hwctl'
    for part in "${parts[@]}"; do
        own=$(median "$part" hwctl)
        for tool in ssh "${tools[@]}"; do
            took=$(median "$part" "$tool")
            ((took == 0)) || awk "BEGIN { printf \"%-6s %-10s %10.2f %11.1fx\n\", \"$part\", \"$tool\", $took / 1000, $took / $own }"
        done
    done
fi
