#!/usr/bin/env bash
# hwctl against Ansible, pyinfra and a shell script that bring a host to the same stack: each in turn on
# lab hosts, in one run. The peers get hwctl's own files of a provisioned host (benches/peers/), and
# none of them looks from outside afterwards or can take back what it did, as hwctl does.
# `far` is `noop` with 30 ms added to each round trip; `kept` is hwctl over a kept connection (`--persist`).
# Needs pip.
# Usage: benches/peers.sh [--json] [--rounds N] [--hosts 'N …'] [--tools 'shell ansible …'] [noop|far|first|fleet]...
# See benches/lab.sh.
cd "$(dirname "$0")/.."
. benches/lab.sh
json='' rounds=3 counts=(8) parts=()
tools=(shell pyinfra mitogen ansible)
while (($#)); do
    case $1 in
    --json) json=yes ;;
    --rounds) rounds=$2 && shift ;;
    --hosts) read -ra counts <<<"$2" && shift ;;
    --tools) read -ra tools <<<"$2" && shift ;;
    noop | far | first | fleet) parts+=("$1") ;;
    *) sed -n 's/^# Usage: /usage: /p' "$0" >&2 && exit 2 ;;
    esac
    shift
done
((${#parts[@]})) || parts=(noop far first fleet)
peers=$PWD/benches/peers
venv=target/bench-peers
if [[ ! -x $venv/bin/pyinfra ]] || ! cmp -s "$peers/requirements.txt" $venv/installed; then
    python3 -m venv $venv
    $venv/bin/pip install --quiet --requirement "$peers/requirements.txt"
    cp "$peers/requirements.txt" $venv/installed
fi
venv=$PWD/$venv
mitogen=$("$venv/bin/python" -c 'import ansible_mitogen, os; print(os.path.dirname(ansible_mitogen.__file__))')

# The hosts that the tools work on from now on, as each of them wants to have it.
use() {
    use_hosts "$@"
    local host
    {
        echo "hosts = ["
        for host in "${hosts[@]}"; do
            echo "    ('${address[$host]}', {'ssh_user': 'ubuntu', '_sudo': True, 'ssh_key': '$lab/key/id_ed25519',"
            echo "        'ssh_known_hosts_file': '$folder/known_hosts'}),"
        done
        echo "]"
    } >"$folder/hosts.py"
}

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
run_hwctl() { hwctl provision; }
run_kept() { hwctl provision --persist; }
run_shell() { each shell_on; }
run_pyinfra() {
    STACK=$folder/stack.json ARCHIVE=$archive "$venv/bin/pyinfra" -y "$folder/hosts.py" "$peers/deploy.py"
}
run_mitogen() { ansible ANSIBLE_STRATEGY_PLUGINS="$mitogen/plugins/strategy" ANSIBLE_STRATEGY=mitogen_linear; }
run_ansible() { ansible; }

# One tool in one part.
one() {
    local part=$1 tool=$2
    measure "$part-$tool" "run_$tool"
    tail -n 1 "$folder/figures" >&2
    case $part-$tool in
    settle-* | first-*) ;;
    *-hwctl | *-kept) grep -q ': unchanged' "$folder/said" ;;
    *-mitogen | *-ansible) ! grep -q 'changed=[1-9]' "$folder/said" ;;
    esac || { tail -n 40 "$folder/said" >&2 && fail "$tool finds something to change ($part)"; }
}
# Opens the connections that are kept in this part: those of another know another way.
keep() {
    export XDG_RUNTIME_DIR=$folder/kept-$1
    install -d -m 700 "$XDG_RUNTIME_DIR"
    one settle kept
}
# Every tool has to have made a host that serves.
require_serving() {
    local host answer
    for host in "${hosts[@]}"; do
        answer=$(curl -sk -m 10 "https://${address[$host]}/flask/api/health" -w ' %{http_code}')
        [[ $answer == *' 200' ]] || fail "after $1 $host does not serve: $answer"
    done
}


# What the peers put there comes from a host that hwctl has provisioned.
up "$name-1"
use "$name-1"
hwctl plan --json >"$folder/plan" || (($? == 3)) || fail "no plan"
provision
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

round=0 shown=()
for part in "${parts[@]}"; do
    [[ $part == fleet ]] || shown+=("$part")
    case $part in
    noop | far)
        # What each tool would still change is changed once, unmeasured; hwctl comes last, since only
        # its container is known to it as its own.
        for tool in "${tools[@]}" hwctl; do one settle "$tool"; done
        [[ $part == noop ]] || far "$name-1"
        keep "$part"
        for ((round = 1; round <= rounds; round++)); do
            for tool in ssh hwctl kept "${tools[@]}"; do one "$part" "$tool"; done
        done
        [[ $part == noop ]] || near
        ;;
    first)
        for ((round = 1; round <= rounds; round++)); do
            for tool in hwctl "${tools[@]}"; do
                up "$name-first"
                use "$name-first"
                one first "$tool"
                require_serving "$tool"
                "$HWCTL" lab down "$name-first" >/dev/null
            done
        done
        use "$name-1"
        ;;
    fleet)
        most=$(printf '%s\n' "${counts[@]}" | sort -n | tail -n 1)
        up "$name-1" --count "$most"
        mapfile -t all < <(seq -f "$name-%.0f" "$most")
        use "${all[@]}"
        provision
        keep fleet
        for count in "${counts[@]}"; do
            shown+=("fleet$count")
            use "${all[@]:0:count}"
            for ((round = 1; round <= rounds; round++)); do
                for tool in ssh hwctl kept; do one "fleet$count" "$tool"; done
            done
        done
        # The peers give every host the secrets of the first one, which hwctl would change back.
        for count in "${counts[@]}"; do
            use "${all[@]:0:count}"
            for tool in "${tools[@]}"; do one settle "$tool"; done
            for ((round = 1; round <= rounds; round++)); do
                for tool in "${tools[@]}"; do one "fleet$count" "$tool"; done
            done
        done
        use "$name-1"
        ;;
    esac
done

if [[ $json ]]; then
    for part in "${shown[@]}"; do
        for tool in ssh hwctl kept "${tools[@]}"; do
            printf '%s %s %s %s\n' "$part" "$tool" "$(figure "$part-$tool")" "$(ratio "$part-$tool" "$part-hwctl")"
        done
    done | python3 -c '
import json, sys
medians, ratios = {}, {}
for part, tool, median, ratio in map(str.split, sys.stdin):
    if median != "-":
        medians.setdefault(part, {})[tool] = float(median)
        ratios.setdefault(part, {})[tool] = float(ratio)
rounds, ssh = int(sys.argv[1]), sys.argv[2]
print(json.dumps({"median_ms": medians, "to_hwctl": ratios, "rounds": rounds, "ssh": ssh}))
' "$rounds" "$(ssh_version)"
else
    printf '%-8s %-10s %10s %12s\n' '' tool seconds 'to hwctl'
    for part in "${shown[@]}"; do
        for tool in ssh hwctl kept "${tools[@]}"; do
            took=$(figure "$part-$tool")
            [[ $took == - ]] || awk "BEGIN { printf \"%-8s %-10s %10.2f %11.1fx\n\", \"$part\", \"$tool\", \
                $took / 1000, $(ratio "$part-$tool" "$part-hwctl") }"
        done
    done
fi
