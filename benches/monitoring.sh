#!/usr/bin/env bash
# `hwctl provision` where all is right, on a host that measures itself against one that does not. In turn on two lab hosts.
# Usage: benches/monitoring.sh [--json] [ROUNDS]; see benches/lab.sh.
cd "$(dirname "$0")/.."
. benches/lab.sh
json=
if [[ ${1-} == --json ]]; then json=yes && shift; fi
rounds=${1:-15}
plain=$name-1 full=$name-2
up "$plain"
up "$full"
use_hosts "$plain" "$full"

image=$(find "$lab/images" -name 'prometheus-*.tar' 2>/dev/null | head -n 1)
[[ $image ]] || fail "make the stand-in for Prometheus's image first: hwctl provision --lab --set monitoring.enabled=true"
printf 'all:\n  hosts:\n    %s: { monitoring: { enabled: true, image_archive: %s } }\n' "$full" "$image" >"$folder/own.yaml"
compare_no_ops "$rounds" "$plain" "$full"

if [[ $json ]]; then
    printf '{"plain_ms":%.1f,"full_ms":%.1f,"ratio":%s,"rounds":%d}\n' "$(figure plain)" "$(figure full)" "$(ratio full plain)" "$rounds"
else
    printf 'no-op without monitoring  %8.1f ms\nno-op with monitoring     %8.1f ms\n' "$(figure plain)" "$(figure full)"
    echo "ratio: $(ratio full plain) (goal: 1.15)"
fi
