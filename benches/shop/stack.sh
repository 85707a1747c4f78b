#!/usr/bin/env bash
# The shell peer of examples/shop, as root on a fresh host: brings it to the shop in the best order that one would write by
# hand. What needs no package is made while apt works, and the database starts while pip installs. Beside this script lie
# files.tsv and files/, which hwctl has made on another host; the image of Postgres comes while apt works, into
# /var/tmp/postgres.tar, and is whole once /var/tmp/postgres.done is there.
# Usage: stack.sh PACKAGE…, in the folder that was unpacked on the host.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
here=$(dirname "$0")

packages() { apt-get -qq install -y --no-install-recommends "$@" >/dev/null 2>&1; }
# The lists of a base host may lack a package.
{ packages "$@" || { apt-get -qq update && packages "$@"; }; } &
apt=$!

# Lines of files.tsv to the host.
put() {
    local kind path mode owner group
    while IFS=$'\t' read -r kind path mode owner group; do
        case $kind in
        directory) install -d -m "$mode" -o "$owner" -g "$group" "$path" ;;
        file) install -m "$mode" -o "$owner" -g "$group" "$here/files$path" "$path" ;;
        link) ln -sfn "$mode" "$path" ;;
        absent) rm -f "$path" ;;
        esac
    done
}
# A command of the shop in its folder, as its user, with its environment.
as_shop() {
    systemd-run --quiet --wait --pipe -p User="$user" -p StateDirectory="$user" -p WorkingDirectory="$release" \
        -p EnvironmentFile="$environment" sh -c "$1"
}

release=$(awk -F '\t' '$2 ~ /\/shop\.py$/ { print $2 }' "$here/files.tsv") && release=${release%/*}
unit=$(awk -F '\t' '$2 ~ /system\/shop-[0-9a-f]{8}\.service$/ { print $2 }' "$here/files.tsv") && unit=${unit##*/}
environment=$(sed -n 's/^EnvironmentFile=//p' "$here/files/etc/systemd/system/$unit")
user=$(sed -n 's/^User=//p' "$here/files/etc/systemd/system/$unit")
useradd --system --home-dir "/var/lib/$user" --shell /usr/sbin/nologin "$user"
apart='/(etc/hwctl|etc/systemd|srv|usr/local|var/lib|var/www)/'
put < <(grep -P "\t$apart" "$here/files.tsv")
systemctl daemon-reload
wait $apt

database() {
    while [[ ! -e /var/tmp/postgres.done ]]; do sleep 0.05; done
    docker load -q -i /var/tmp/postgres.tar >/dev/null
    docker volume create shop-db >/dev/null
    (
        set -a
        # shellcheck source=/dev/null
        . /etc/hwctl/containers/shop-db.env
        docker run -d --name shop-db --restart unless-stopped --user 70:70 --cap-drop ALL --read-only \
            --security-opt no-new-privileges --memory 512m --pids-limit 256 \
            --tmpfs /tmp:rw,noexec,nosuid,nodev,size=64m --tmpfs /run/postgresql:rw,noexec,nosuid,nodev,size=64m,uid=70 \
            --log-opt max-file=3 --log-opt max-size=10m -p 127.0.0.1:5432:5432 \
            -e POSTGRES_USER -e POSTGRES_PASSWORD -v shop-db:/var/lib/postgresql/data postgres:17-alpine >/dev/null
    )
    until docker exec shop-db pg_isready -U shop >/dev/null; do sleep 0.1; done
}
database &
database=$!
as_shop 'python3 -m venv venv && venv/bin/pip install --quiet --requirement requirements.txt' &
build=$!

put < <(grep -vP "\t$apart" "$here/files.tsv")
ssl=/etc/nginx/ssl/homework
(umask 077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 \
    -subj /CN=homework -keyout $ssl.key -out $ssl.crt 2>/dev/null)
chmod 644 $ssl.crt
nginx -t -q
systemctl -q enable nginx docker
systemctl reload-or-restart nginx
for port in 22 80 443; do ufw allow $port/tcp >/dev/null; done
ufw --force enable >/dev/null
systemctl -q enable --now shop-copy.timer

wait $database $build
as_shop 'venv/bin/python migrate.py'
systemctl -q enable --now "$unit"
rm -rf "$here" /var/tmp/postgres.tar /var/tmp/postgres.done
