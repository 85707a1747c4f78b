#!/usr/bin/env bash
# The API through nginx with TLS, against a plain Flask app under gunicorn and against a second nginx
# (the ceiling): each in turn on the same socket behind the same nginx, medians of all rounds.
# Needs root, as the lab does, and wrk and pip. Usage: benches/api.sh [--json] [ROUNDS [SECONDS]]
# HWCTL names a ready hwctl. Exit status 1: an answer failed, was not 2xx, or a count was lost.
set -euo pipefail
cd "$(dirname "$0")/.."
json=
if [[ ${1-} == --json ]]; then json=yes && shift; fi
rounds=${1:-3} seconds=${2:-10}
if [[ -z ${HWCTL-} ]]; then
    cargo build --release --quiet
    HWCTL=$(find target -path '*release/hwctl' -type f -newer Cargo.toml -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2)
fi
lab=${HWCTL_LAB_DIR:-/var/lib/hwctl/lab}
name=api-bench-$$
folder=$(mktemp -d)
finish() {
    trap '' INT TERM
    "$HWCTL" lab down "$name" >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() { echo "benches/api.sh: $*" >&2 && exit 1; }
on_host() { ssh -F "$lab/hosts/$name/ssh_config" "$name" -- "$@"; }

# A host, provisioned as any other.
provision() {
    local archive password
    "$HWCTL" lab up "$name" >"$folder/host" 2>/dev/null || fail "no lab host: see hwctl lab up"
    address=$(awk '{ print $2 }' "$folder/host")
    archive=$(find "$lab/images" -name 'redis-*.tar' 2>/dev/null | head -n 1)
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    cat >"$folder/inventory.yaml" <<INVENTORY
all:
  vars:
    redis: { ${archive:+image_archive: $archive} }
    api: { users: { bench: $password } }
    sites: { site2: { users: { bench: $password } } }
  hosts:
    bench:
      ansible_host: $address
      ansible_user: ubuntu
      ansible_ssh_private_key_file: $lab/key/id_ed25519
INVENTORY
    "$HWCTL" provision --inventory "$folder/inventory.yaml" --host bench \
        --known-hosts "$lab/hosts/$name/known_hosts" >"$folder/provision" 2>&1 || {
        cat "$folder/provision" >&2
        fail "the host cannot be provisioned"
    }
    TOKEN=$(curl -sk "https://$address/flask/auth/login" --json @- \
        <<<"{\"username\":\"bench\",\"password\":\"$password\"}" | cut -d'"' -f4)
    echo "Authorization: Bearer $TOKEN" >"$folder/token"
    export TOKEN
}

# Flask and gunicorn for the host's own Python, and the second nginx's configuration.
copy_peers() {
    local python
    on_host 'command -v python3 >/dev/null || sudo apt-get install -qq -y python3 >/dev/null 2>&1'
    python=$(on_host "python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'")
    python3 -m pip install --quiet --root-user-action ignore --only-binary :all: --python-version "$python" \
        --target "$folder/packages" --requirement benches/flask/requirements.txt
    tar -c -C "$folder" packages -C "$PWD/benches/flask" app.py ceiling.conf |
        on_host 'sudo mkdir /opt/bench && sudo tar --no-same-owner -C /opt/bench -x'
}

get() { curl -sk -m 5 -H "@$folder/token" -w ' %{http_code}' "https://$address/flask/api/$1"; }

# Puts a backend on the API's socket: hwctl, flask or ceiling.
use() {
    local api='flask-app.socket flask-app.service' run
    run='sudo rm -f /run/gunicorn/flask.sock; sudo systemd-run --quiet --unit bench'
    case $1 in
    hwctl) run="sudo systemctl start $api" ;;
    flask) run+=' --property EnvironmentFile="$(systemctl show --value -p EnvironmentFiles flask-app | cut -d" " -f1)"
        --setenv PYTHONPATH=/opt/bench/packages --working-directory /opt/bench python3 -m gunicorn --workers 4
        --user www-data --group www-data --bind unix:/run/gunicorn/flask.sock app:app' ;;
    ceiling) run+=' /usr/sbin/nginx -c /opt/bench/ceiling.conf' ;;
    esac
    on_host "sudo systemctl stop $api bench 2>/dev/null; ${run//$'\n'/ }"
    unit=bench && [[ $1 != hwctl ]] || unit=flask-app
    for _ in {1..100}; do
        [[ $(get ping) == '{"status":"ok"}'*200 ]] && return
        sleep 0.1
    done
    fail "$1 does not answer behind nginx"
}

# The peak memory in KiB of all the backend's processes.
memory() {
    on_host "cgroup=\$(systemctl show --value -p ControlGroup $unit)
        pids=\$(find /sys/fs/cgroup -path \"*\$cgroup/cgroup.procs\" -exec cat {} + | sort -u)
        for pid in \$pids; do sudo grep VmHWM /proc/\$pid/status; done | awk '{ sum += \$2 } END { print sum }'"
}
visits() { get count | tr -dc '0-9 ' | cut -d' ' -f1; }

# One measurement, as a line of $folder/figures: backend route requests/s p99 KiB failures.
measure() {
    local backend=$1 route=$2 before=0 requests took p99 failed
    [[ $route == ping ]] || before=$(visits)
    on_host 'sudo truncate -s 0 /var/log/nginx/flask_access.log'
    wrk -t2 -c32 -d"${seconds}s" -s benches/flask/wrk.lua "https://$address/flask/api/$route" >"$folder/wrk"
    read -r _ requests took p99 failed < <(grep '^figures' "$folder/wrk")
    # What nginx answered; 499 are those that wrk had open when its time was over.
    ((failed += $(on_host "sudo awk '\$9 !~ /^(2..|499)\$/' /var/log/nginx/flask_access.log | wc -l"))) || true
    if [[ $route == count ]]; then
        local counted=$(($(visits) - before - 1))
        ((counted >= requests)) || fail "$backend lost counts: $requests were acknowledged, $counted are kept"
    fi
    awk "BEGIN { printf \"%s %s %.0f %s %s %d\n\", \"$backend\", \"$route\", $requests / $took, $p99, \"$(memory)\", $failed }" |
        tee -a "$folder/figures" >&2
}

median() { awk -v b="$1" -v r="$2" -v f="$3" '$1 == b && $2 == r { print $f }' "$folder/figures" | sort -n |
    awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

provision
copy_peers
for ((round = 0; round < rounds; round++)); do
    use ceiling && measure ceiling ping
    use hwctl && measure hwctl ping && measure hwctl count
    use flask && measure flask ping && measure flask count
done

declare -A rate p99 rss
while read -r backend route; do
    key=$backend-$route
    rate[$key]=$(median "$backend" "$route" 3) p99[$key]=$(median "$backend" "$route" 4)
    rss[$key]=$(awk "BEGIN { printf \"%.1f\", $(median "$backend" "$route" 5) / 1024 }")
done < <(cut -d' ' -f1,2 "$folder/figures" | sort -u)
failed=$(awk '{ sum += $6 } END { print sum }' "$folder/figures")
