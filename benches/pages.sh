#!/usr/bin/env bash
# A site of ten thousand small pages: `hwctl provision` that adds them, changes nothing, and removes them, and
# a rollback, against `tar | ssh` and `ssh rm`. In turn on one lab host.
# Usage: benches/pages.sh [--json] [ROUNDS [PAGES]]; see benches/lab.sh.
cd "$(dirname "$0")/.."
. benches/lab.sh
json=
if [[ ${1-} == --json ]]; then json=yes && shift; fi
rounds=${1:-3} pages=${2:-10000}
up "$name-1"
use_hosts "$name-1"
provision
make_pages "$pages"
with=(--set 'sites.many={path: /many, root: /srv/many, source: pages}')

tar_add() { tar -C "$folder/pages" -c . | on "$name-1" 'mkdir /tmp/many && tar -C /tmp/many -x'; }
tar_remove() { on "$name-1" 'rm -r /tmp/many'; }
add() { hwctl provision "${with[@]}"; }
noop() { hwctl provision "${with[@]}"; }
remove() { hwctl provision; }
rollback() { hwctl rollback --yes; }

for ((round = 1; round <= rounds; round++)); do
    for what in tar_add add noop tar_remove remove rollback; do measure "$what" "$what"; done
    provision
done

if [[ $json ]]; then
    printf '{"pages":%d,"tar_ms":%.1f,"rm_ms":%.1f,"add_ms":%.1f,"add_ratio":%s,"remove_ms":%.1f,"remove_ratio":%s,"rollback_ms":%.1f,"noop_ms":%.1f,"rounds":%d}\n' \
        "$pages" "$(figure tar_add)" "$(figure tar_remove)" "$(figure add)" "$(ratio add tar_add)" \
        "$(figure remove)" "$(ratio remove tar_add)" "$(figure rollback)" "$(figure noop)" "$rounds"
else
    printf '%-28s %10s %10s\n' "$pages pages" 'ms' 'to tar'
    printf '%-28s %10.1f\n' 'tar | ssh' "$(figure tar_add)" 'ssh rm -r' "$(figure tar_remove)"
    for what in add noop remove rollback; do
        printf '%-28s %10.1f %10s\n' "hwctl: $what" "$(figure "$what")" "$(ratio "$what" tar_add)"
    done
    echo 'goal: add, remove and rollback in twice the time of tar at most'
fi
