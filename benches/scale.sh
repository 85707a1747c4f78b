#!/usr/bin/env bash
# What a request costs each program on its way, in CPU time: HAProxy on a balancer; nginx, the API and Redis on a web host
# behind it. docs/scale.md computes from it what hosts carry. One balancer and two web hosts of the lab, 32 connections.
# Needs wrk. Usage: benches/scale.sh [--json] [SECONDS]; see benches/lab.sh.
# Exit status 1: an answer failed, or was not 2xx.
cd "$(dirname "$0")/.."
. benches/lab.sh
json=
if [[ ${1-} == --json ]]; then json=yes && shift; fi
seconds=${1:-8} megabytes=200 connections=1000
lb=$name-1 web=("$name-2" "$name-3")
for host in "$lb" "${web[@]}"; do up "$host"; done
use_hosts "$lb" "${web[@]}"
{
    printf 'all:\n  hosts:\n    %s: { roles: [balancer] }\n' "$lb"
    for host in "${web[@]}"; do echo "    $host: { roles: [web, redis] }"; done
} >"$folder/roles.yaml"
hwctl provision -i inventory.yaml -i roles.yaml >"$folder/said" 2>&1 || { cat "$folder/said" >&2 && fail "the hosts cannot be provisioned"; }
front=https://${address[$lb]} back=https://${address[${web[0]}]}
redis=docker-$(on "${web[0]}" 'sudo docker inspect -f "{{.Id}}" redis-flask').scope

# The CPU time of a unit so far, in microseconds.
used() { on "$1" "systemctl show --value -p CPUUsageNSec $2" | awk '{ printf "%d", $1 / 1000 }'; }

# Asks for a URL for a while. Notes how many requests were answered, and what each cost these units of a host, in
# microseconds: `count-nginx.service` and so on.
ask() {
    local word=$1 host=$2 url=$3 unit requests
    local -A before
    local units=() options=()
    for unit in "${@:4}"; do if [[ $unit == *.* ]]; then units+=("$unit"); else options+=("$unit"); fi; done
    for unit in "${units[@]}"; do before[$unit]=$(used "$host" "$unit"); done
    wrk -t1 -c32 -d"${seconds}s" -H "Authorization: Bearer ${TOKEN-}" "${options[@]/#/-HConnection: }" "$url" >"$folder/wrk"
    if grep -qE 'Non-2xx|Socket errors' "$folder/wrk"; then cat "$folder/wrk" >&2 && fail "$word: requests failed"; fi
    requests=$(awk '/requests in/ { print $1 }' "$folder/wrk")
    echo "0 $word-requests $((requests / seconds))" >>"$folder/figures"
    for unit in "${units[@]}"; do
        awk "BEGIN { printf \"0 %s-%s %.1f\n\", \"$word\", \"$unit\", ($(used "$host" "$unit") - ${before[$unit]}) / $requests }" \
            >>"$folder/figures"
    done
}

balancer=hwctl-balancer.service
ask kept "$lb" "$front/flask/api/ping" "$balancer"
ask new "$lb" "$front/flask/api/ping" "$balancer" close
TOKEN=$(curl -sk "$back/flask/auth/login" --json "{\"username\":\"bench\",\"password\":\"$password\"}" | cut -d'"' -f4)
ask count "${web[0]}" "$back/flask/api/count" nginx.service flask-app.service "$redis"

for host in "${web[@]}"; do on "$host" "sudo truncate -s ${megabytes}M /var/www/site1/large"; done
earlier=$(used "$lb" "$balancer")
curl -skf -o /dev/null "$front/open/large" || fail "the large file is not served"
echo "0 large-$balancer $((($(used "$lb" "$balancer") - earlier) / 1000))" >>"$folder/figures"

# What HAProxy's workers have of memory, in KiB.
memory() { on "$lb" "sudo cat \$(pgrep -x haproxy | sed 's,.*,/proc/&/smaps_rollup,') | awk '/^Pss:/ { sum += \$2 } END { print sum }'"; }
earlier=$(memory)
python3 benches/connections.py "${address[$lb]}" "$connections" >"$folder/open" &
until [[ -s $folder/open ]]; do sleep 0.1; done
echo "0 memory-$balancer $(awk "BEGIN { printf \"%.1f\", ($(memory) - $earlier) / $connections }")" >>"$folder/figures"
kill $! && wait $! 2>/dev/null || true

if [[ $json ]]; then
    awk -v redis="$redis" '{ sub(redis, "redis", $2); printf "%s\"%s\":%s", NR > 1 ? "," : "{", $2, $3 } END { print "}" }' "$folder/figures"
else
    printf 'HAProxy, a request on a kept connection   %7.1f µs\n' "$(figure "kept-$balancer")"
    printf 'HAProxy, a request with its connection    %7.1f µs\n' "$(figure "new-$balancer")"
    printf 'HAProxy, %d MB to one client             %7.0f ms\n' "$megabytes" "$(figure "large-$balancer")"
    printf 'HAProxy, an open connection               %7.1f KiB\n' "$(figure "memory-$balancer")"
    printf 'nginx, a counted visit                    %7.1f µs\n' "$(figure count-nginx.service)"
    printf 'the API, a counted visit                  %7.1f µs\n' "$(figure count-flask-app.service)"
    printf 'Redis, a counted visit                    %7.1f µs\n' "$(figure "count-$redis")"
    printf 'counted visits on one web host            %7.0f a second\n' "$(figure count-requests)"
fi
