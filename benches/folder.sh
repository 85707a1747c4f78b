#!/usr/bin/env bash
# `hwctl provision` where all is right, on a host with a site of ten thousand pages against one without. In turn on two
# lab hosts.
# Usage: benches/folder.sh [--json] [ROUNDS [PAGES]]; see benches/lab.sh.
cd "$(dirname "$0")/.."
. benches/lab.sh
json=
if [[ ${1-} == --json ]]; then json=yes && shift; fi
rounds=${1:-15} pages=${2:-10000}
plain=$name-1 full=$name-2
up "$plain"
up "$full"
use_hosts "$plain" "$full"

make_pages "$pages"
{
    printf 'all:\n  hosts:\n    %s:\n      sites:\n' "$full"
    echo "        site2: { users: { bench: $password } }"
    echo '        many: { path: /many, root: /srv/many, source: pages }'
} >"$folder/own.yaml"
hwctl provision -i inventory.yaml -i own.yaml >"$folder/said" 2>&1 || { cat "$folder/said" >&2 && fail "the hosts cannot be provisioned"; }
# A file that was written a moment ago is read again. The next run notes the pages, and those after it need not read them.
sleep 4
compare_no_ops "$rounds" "$plain" "$full"

more=$(awk '{ value[$1, $2] = $3; rounds[$1] } END { for (r in rounds) print value[r, "full"] - value[r, "plain"] }' "$folder/figures" | median)
if [[ $json ]]; then
    printf '{"plain_ms":%.1f,"full_ms":%.1f,"more_ms":%.1f,"ratio":%s,"rounds":%d,"pages":%d}\n' "$(figure plain)" \
        "$(figure full)" "$more" "$(ratio full plain)" "$rounds" "$pages"
else
    printf 'no-op without the pages      %8.1f ms\n' "$(figure plain)"
    printf 'no-op with %d pages: %.1f ms\n' "$pages" "$(figure full)"
    printf 'more: %.1f ms (goal: 100), ratio: %s\n' "$more" "$(ratio full plain)"
fi
