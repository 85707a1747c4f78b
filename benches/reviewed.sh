#!/usr/bin/env bash
# A reviewed run (`hwctl provision --plan FILE`) against `hwctl provision`, with one file to change each time: in pairs,
# in turn, on one lab host. The plan that the file was made by is measured as well.
# Needs python3. Usage: benches/reviewed.sh [--json] [PAIRS]; see benches/lab.sh.
cd "$(dirname "$0")/.."
. benches/lab.sh
json=
if [[ ${1-} == --json ]]; then json=yes && shift; fi
pairs=${1:-10}
up "$name-1"
use_hosts "$name-1"
provision
plan=$folder/plan.json

# Has something to do.
edit() { on "$name-1" 'echo "# edited" | sudo tee -a /etc/sysctl.d/60-hwctl.conf >/dev/null'; }
direct() { hwctl provision; }
review() { hwctl plan --out "$plan" || [[ $? == 3 ]]; }
reviewed() { hwctl provision --plan "$plan"; }

changed() { grep -q 'changed, 1 change' "$folder/said" || fail "$1 has not made its one change"; }
one_direct() {
    edit
    measure direct direct
    changed provision
}
one_reviewed() {
    edit
    measure review review
    measure reviewed reviewed
    changed "provision --plan"
}

in_turn "$pairs" one_direct one_reviewed

if [[ $json ]]; then
    printf '{"provision_ms":%.1f,"plan_out_ms":%.1f,"provision_plan_ms":%.1f,"ratio":%s,"pairs":%d}\n' "$(figure direct)" \
        "$(figure review)" "$(figure reviewed)" "$(ratio reviewed direct)" "$pairs"
else
    printf '%-28s %10.1f ms\n' provision "$(figure direct)" 'plan --out FILE' "$(figure review)" \
        'provision --plan FILE' "$(figure reviewed)"
    echo "ratio of provision --plan to provision: $(ratio reviewed direct) (goal: 1.0, within what the runs vary)"
fi
