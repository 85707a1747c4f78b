#!/usr/bin/env bash
# What clients see of faults and of daily work: 32 kept connections count visits on one lab host while one
# thing happens to it. Prints, for each, requests, failed ones, the seconds from the first failure to the last,
# and why they failed. Usage: benches/faults.sh [WORDS]: only the rows that contain WORDS; see benches/lab.sh.
# Exit status 1: a count that was acknowledged is lost, or the host does not serve again.
cd "$(dirname "$0")/.."
. benches/lab.sh
only=${1-}
up "$name-1"
use_hosts "$name-1"
provision
site=https://${address[$name-1]}
curl -sk "$site/flask/auth/login" --json @- <<<"{\"username\":\"bench\",\"password\":\"$password\"}" |
    cut -d'"' -f4 >"$folder/token"
printf '%-32s %9s %7s %8s  %s\n' fault requests failed seconds reasons

# Waits until the host is healthy, 60 s at most.
settle() {
    for _ in {1..120}; do
        if hwctl status >"$folder/said" 2>&1; then return; fi
        sleep 0.5
    done
    cat "$folder/said" >&2 && fail "the host does not serve again after: $1"
}

# A row: what happens under load.
row() {
    [[ $1 == *"$only"* ]] || return 0
    coproc LOAD { exec python3 benches/load.py "${address[$name-1]}" "$folder/token"; }
    local loader=$LOAD_PID out=${LOAD[0]} in=${LOAD[1]} told
    sleep 1
    "${@:2}" >"$folder/said" 2>&1 </dev/null || { cat "$folder/said" >&2 && fail "fails: $1"; }
    settle "$1"
    sleep 1
    exec {in}>&-
    told=$(cat <&"$out")
    wait "$loader"
    python3 - "$1" "$told" <<'PYTHON'
import json, sys
name, told = sys.argv[1], json.loads(sys.argv[2])
reasons = ", ".join(f"{count} × {reason}" for reason, count in told["reasons"].items())
print(f"{name:32} {told['requests']:9} {told['failed']:7} {told['seconds']:8.2f}  {reasons}")
sys.exit(f"{name}: {told['lost']} counts were acknowledged and are gone" if told["lost"] else 0)
PYTHON
}
renew() { (cd "$folder" && "$HWCTL" cert renew --known-hosts known_hosts); }
root() { on "$name-1" sudo "$@"; }
killed() { root systemctl kill --signal=KILL --kill-whom="${2:-main}" "$1"; }

# Another version of the API: the same program, since what follows its end is not loaded.
root cat /usr/local/lib/hwctl/api/flask-app >"$folder/api"
echo >>"$folder/api"

row 'nothing' sleep 3
row 'restart api' hwctl restart api
row 'deploy' hwctl deploy --binary "$folder/api"
row 'deploy --rollback' hwctl deploy --rollback
row 'kill -9 of the API' killed flask-app.service
row 'restart nginx' hwctl restart nginx
row 'cert renew' renew
closed='sites.site1.allow=[127.0.0.1]'
row 'a change of a site' hwctl provision --set "$closed"
row 'a change of the firewall' hwctl provision --set "$closed" --set 'firewall.allow=[80/tcp, 443/tcp, 8088/tcp]'
row 'back to the inventory' hwctl provision
row "kill -9 of nginx's master" killed nginx.service
row 'restart redis' hwctl restart redis
row 'kill -9 of redis-server' root pkill -KILL redis-server
row 'a new container for Redis' hwctl provision --set redis.port=6390
row 'kill -9 of dockerd' killed docker.service
row 'systemctl restart docker' root systemctl restart docker
row 'kill -9 of containerd' killed containerd.service
