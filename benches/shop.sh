#!/usr/bin/env bash
# The first provision of examples/shop against a shell script that makes the same: the same base host, in turn. The script
# gets the files that hwctl makes. It looks at nothing from outside and can take nothing back, as hwctl does.
# Usage: benches/shop.sh [--json] [ROUNDS]; see benches/lab.sh.
cd "$(dirname "$0")/.."
. benches/lab.sh
json=
if [[ ${1-} == --json ]]; then json=yes && shift; fi
rounds=${1:-3}

# The inventory of the example for the host that is worked on.
use_shop() {
    use_hosts "$1"
    cp -rT examples/shop "$folder/example"
    sed "s|ansible_host: 192.0.2.10|&, ansible_ssh_private_key_file: $lab/key/id_ed25519|; s/192.0.2.10/${address[$1]}/
        s|^        image: postgres:17-alpine|&\n        image_archive: $folder/postgres.tar|" \
        examples/shop/inventory.yaml >"$folder/example/inventory.yaml"
    prepare "$1"
}
shop() { (cd "$folder/example" && exec "$HWCTL" "$1" --known-hosts "$folder/known_hosts" "${@:2}"); }

# pip on the host trusts whom this machine trusts, and takes packages from where this machine does.
prepare() {
    local file
    for file in etc/ssl/certs/ca-certificates.crt etc/pip.conf; do
        [[ ! -f /$file ]] || on "$1" "sudo install -D -m 644 /dev/stdin /$file" <"/$file"
    done
}

# An image of Postgres, made on a host that has Docker.
make_image() {
    local file
    for file in database worker; do on "$1" "sudo tee /root/$file >/dev/null" <"tests/e2e/postgres/$file"; done
    on "$1" 'sudo sh' <tests/e2e/postgres/images.sh >"$folder/said" 2>&1 || fail "no image of Postgres"
    on "$1" 'sudo docker save postgres:17-alpine' >"$folder/postgres.tar"
}

# What the script puts there comes from a host that hwctl has provisioned.
take_files() {
    shop plan --json >"$folder/plan" || (($? == 3)) || fail "no plan"
    measure model shop provision
    on "$1" "sudo sh -c 'cd / && find etc/nginx etc/systemd/system etc/ufw etc/hwctl etc/logrotate.d etc/sysctl.d etc/docker \
        var/www var/lib/app-shop srv/shop-copies usr/local/lib/hwctl/apps usr/local/lib/hwctl/hwctl ! -type s \
        ! -path \"*/venv*\" | tar -c --no-recursion -T -'" | python3 benches/peers/payload.py "$folder/plan" "$folder"
    # The commands that hwctl brings for itself.
    sed -i '/\/hwctl\/hwctl\t/d' "$folder/files.tsv"
    mapfile -t packages < <(python3 -c "import json; print(*json.load(open('$folder/stack.json'))['packages'], sep='\n')")
    cp benches/shop/stack.sh "$folder/"
    tar -cz -C "$folder" stack.sh files.tsv files >"$folder/small.tgz"
    gzip -k "$folder/postgres.tar"
}

up "$name-1"
use_hosts "$name-1"
provision
make_image "$name-1"
"$HWCTL" lab down "$name-1" >/dev/null
up "$name-model"
use_shop "$name-model"
take_files "$name-model"
"$HWCTL" lab down "$name-model" >/dev/null

run_hwctl() { shop provision; }
run_shell() {
    # The image goes to the host while apt works there.
    on "$host" 'cat >/var/tmp/postgres.tar.gz && sudo gunzip -f /var/tmp/postgres.tar.gz && touch /var/tmp/postgres.done' \
        <"$folder/postgres.tar.gz" &
    local sending=$!
    # shellcheck disable=SC2029
    on "$host" "d=\$(mktemp -d) && tar -xz -C \$d && sudo \$d/stack.sh ${packages[*]}" <"$folder/small.tgz" || return
    wait $sending
}
# One of them on a host of its own, which has to sell then.
one() {
    host=$name-$1
    up "$host"
    use_shop "$host"
    measure "$1" "run_$1"
    answer=$(curl -sk -m 10 "https://${address[$host]}/shop/healthz" -w ' %{http_code}')
    [[ $answer == *' 200' ]] || fail "after $1 the shop does not sell: $answer"
    "$HWCTL" lab down "$host" >/dev/null
}
one_hwctl() { one hwctl; }
one_shell() { one shell; }
in_turn "$rounds" one_hwctl one_shell

if [[ $json ]]; then
    printf '{"hwctl_ms":%.0f,"shell_ms":%.0f,"ratio":%s,"rounds":%d}\n' "$(figure hwctl)" "$(figure shell)" \
        "$(ratio hwctl shell)" "$rounds"
else
    printf 'first provision of examples/shop  %8.1f s\n' "$(awk "BEGIN { print $(figure hwctl) / 1000 }")"
    printf 'the shell script                  %8.1f s\n' "$(awk "BEGIN { print $(figure shell) / 1000 }")"
    echo "ratio: $(ratio hwctl shell) (goal: 1.0)"
fi
