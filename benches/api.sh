#!/usr/bin/env bash
# The API through nginx with TLS, against a plain Flask app under gunicorn and against a second nginx
# (the ceiling): each in turn on the same socket behind the same nginx. Medians of all rounds; a ratio
# is the median of the rounds' ratios, since a shared machine is slower in one round than in another.
# Needs wrk and pip. Usage: benches/api.sh [--json] [ROUNDS [SECONDS]]; see benches/lab.sh.
# Exit status 1: an answer failed, was not 2xx, or a count was lost.
cd "$(dirname "$0")/.."
. benches/lab.sh
json=
if [[ ${1-} == --json ]]; then json=yes && shift; fi
rounds=${1:-5} seconds=${2:-5}
on_host() { on "$name-1" "$@"; }

# A host, provisioned as any other, and a token for its API.
serve() {
    up "$name-1"
    use_hosts "$name-1"
    provision
    site=https://${address[$name-1]}
    TOKEN=$(curl -sk "$site/flask/auth/login" --json @- \
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

get() { curl -sk -m 5 -H "@$folder/token" -w ' %{http_code}' "$site/flask/api/$1"; }

# Puts a backend on the API's socket: hwctl, flask or ceiling.
use() {
    local api='flask-app.socket flask-app.service' run
    run='sudo rm -f /run/gunicorn/flask.sock; sudo systemd-run --quiet --collect --unit bench'
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

# One measurement, as a line of $folder/figures: round, backend-route, requests/s, p99, MB, failures.
load() {
    local backend=$1 route=$2 before=0 requests took p99 failed
    [[ $route == ping ]] || before=$(visits)
    on_host 'sudo truncate -s 0 /var/log/nginx/flask_access.log'
    wrk -t2 -c32 -d"${seconds}s" -s benches/flask/wrk.lua "$site/flask/api/$route" >"$folder/wrk"
    read -r _ requests took p99 failed < <(grep '^figures' "$folder/wrk")
    # What nginx answered; 499 are those that wrk had open when its time was over.
    ((failed += $(on_host "sudo awk '\$9 !~ /^(2..|499)\$/' /var/log/nginx/flask_access.log | wc -l"))) || true
    if [[ $route == count ]]; then
        local counted=$(($(visits) - before - 1))
        ((counted >= requests)) || fail "$backend lost counts: $requests were acknowledged, $counted are kept"
    fi
    awk "BEGIN { printf \"%d %s %.0f %s %.1f %d\n\", $round, \"$backend-$route\", $requests / $took, $p99, $(memory) / 1024, $failed }" |
        tee -a "$folder/figures" >&2
}

serve
copy_peers
for ((round = 1; round <= rounds; round++)); do
    use ceiling && load ceiling ping
    use hwctl && load hwctl ping && load hwctl count
    use flask && load flask ping && load flask count
done

failed=$(awk '{ sum += $6 } END { print sum }' "$folder/figures")
goals=(
    "ping_of_ceiling $(ratio hwctl-ping ceiling-ping) 0.90"
    "ping_of_flask $(ratio hwctl-ping flask-ping) 4"
    "count_of_ping $(ratio hwctl-count hwctl-ping) 0.80"
    "count_of_flask $(ratio hwctl-count flask-count) 6"
)
if [[ $json ]]; then
    for row in ceiling-ping hwctl-ping hwctl-count flask-ping flask-count; do
        printf '"%s":{"requests_per_second":%s,"p99_ms":%s,"memory_mb":%s},' \
            "$row" "$(figure "$row" 3)" "$(figure "$row" 4)" "$(figure "$row" 5)"
    done | sed 's/^/{/'
    printf '"ratios":{'
    # shellcheck disable=SC2068 # three words each
    printf '"%s":{"is":%s,"goal":%s}\n' ${goals[@]} | paste -sd, | tr -d '\n'
    printf '},"rounds":%d,"seconds":%d,"failed":%d}\n' "$rounds" "$seconds" "$failed"
else
    printf '%-14s %12s %10s %10s\n' '' 'requests/s' 'p99 ms' 'MB'
    for row in ceiling-ping hwctl-ping hwctl-count flask-ping flask-count; do
        printf '%-14s %12s %10s %10s\n' "$row" "$(figure "$row" 3)" "$(figure "$row" 4)" "$(figure "$row" 5)"
    done
    echo
    for goal in "${goals[@]}" "memory_mb $(figure hwctl-count 5) <30" "failed $failed 0"; do
        # shellcheck disable=SC2086 # three words
        printf '%-16s %8s   goal %s\n' $goal
    done
fi
((failed == 0)) || fail "$failed answers failed or were not 2xx"
