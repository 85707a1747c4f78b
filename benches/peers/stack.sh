#!/usr/bin/env bash
# The shell peer, as root on the host: brings it to the stack in the best order that one would write
# by hand, and changes nothing where all is right. What needs no package is made while apt works, and
# the container beside the rest. Beside this script lie files.tsv and files/ (what is small). To a host
# that lacks what is large it says `wanted`: that is sent while apt works.
# Usage: stack.sh PACKAGE…, in the folder that was unpacked on the host.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
here=$(dirname "$0")
declare -A changed
large=$(awk -F '\t' '$1 == "file" && $2 ~ /\/api\/flask-app-/ { print $2 }' "$here/files.tsv")
[[ -e $large ]] || echo wanted

packages() {
    if ! dpkg-query -W -f '${db:Status-Abbrev}\n' "$@" 2>/dev/null | awk '$1 != "ii" { bad = 1 } END { exit bad || NR < '$#' }'; then
        compgen -G '/var/lib/apt/lists/*_Packages' >/dev/null || apt-get -qq update
        apt-get -qq install -y --no-install-recommends "$@" >/dev/null 2>&1
    fi
}
# Lines of files.tsv to the host.
put() {
    local kind path mode owner group source
    while IFS=$'\t' read -r kind path mode owner group; do
        case $kind in
        directory)
            if [[ $(stat -c '%04a %U %u %G %g' "$path" 2>/dev/null || true) != "$mode "*"$owner "*"$group"* ]]; then
                install -d -m "$mode" -o "$owner" -g "$group" "$path"
            fi
            ;;
        file)
            source=$here/files$path
            if [[ $path == "$large" ]]; then
                # Named by its content.
                [[ -e $path ]] && continue
                while [[ ! -e /var/tmp/large.done ]]; do sleep 0.05; done
                source=/var/tmp/large/api
            fi
            if ! cmp -s "$source" "$path" ||
                [[ $(stat -c '%04a %U %u %G %g' "$path") != "$mode "*"$owner "*"$group"* ]]; then
                install -m "$mode" -o "$owner" -g "$group" "$source" "$path.new"
                mv "$path.new" "$path"
                changed[$path]=1
            fi
            ;;
        link)
            if [[ $(readlink "$path" || true) != "$mode" ]]; then
                ln -sfn "$mode" "$path"
                changed[$path]=1
            fi
            ;;
        absent) if [[ -e $path ]]; then rm "$path"; fi ;;
        esac
    done
}
changes() { [[ ${!changed[*]} == *"$1"* ]]; }
# systemctl says yes where one of several is.
all() { [[ $(systemctl "is-$1" "${@:2}" | sort -u) == "$1" ]]; }

# apt first: it takes longest.
packages "$@" &
apt=$!
id flask-app >/dev/null 2>&1 ||
    useradd --system --home-dir /home/ubuntu/Flask-app --shell /usr/sbin/nologin flask-app
apart='/(etc/hwctl|etc/systemd|home|usr/local|var/lib|var/www)/'
put < <(grep -P "\t$apart" "$here/files.tsv")
if changes /etc/systemd/system; then systemctl daemon-reload; fi
all enabled flask-app.socket flask-app.service || systemctl -q enable flask-app.socket flask-app.service
all active flask-app.socket || systemctl start flask-app.socket
if changes flask-app || changes Flask-app; then
    systemctl restart flask-app.service
else
    all active flask-app.service || systemctl start flask-app.service
fi
wait $apt

container() {
    all enabled docker || systemctl -q enable docker
    all active docker || systemctl start docker
    docker volume inspect flask-app_redis-data >/dev/null 2>&1 || docker volume create flask-app_redis-data >/dev/null
    if ! docker image inspect redis:7-alpine >/dev/null 2>&1; then
        while [[ ! -e /var/tmp/large.done ]]; do sleep 0.05; done
        docker load -q -i /var/tmp/large/redis.tar >/dev/null
    fi
    local running
    running=$(docker inspect -f '{{.State.Running}}' redis-flask 2>/dev/null || true)
    if changes /etc/hwctl/redis || [[ $running != true ]]; then
        docker rm -f redis-flask >/dev/null 2>&1 || true
        docker run -d --name redis-flask --restart unless-stopped --user 999:1000 --cap-drop ALL --read-only \
            --security-opt no-new-privileges --tmpfs /tmp:rw,noexec,nosuid,nodev,size=64m \
            --log-opt max-file=3 --log-opt max-size=10m -p 127.0.0.1:6379:6379 \
            -v flask-app_redis-data:/data -v /etc/hwctl/redis/redis.conf:/etc/redis/redis.conf:ro \
            -v /var/lib/redis-flask:/run/redis redis:7-alpine redis-server /etc/redis/redis.conf >/dev/null
    fi
}
container &
container=$!

put < <(grep -vP "\t$apart" "$here/files.tsv")
ssl=/etc/nginx/ssl/homework
if ! openssl x509 -checkend 2592000 -noout -in $ssl.crt >/dev/null 2>&1; then
    (umask 077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 \
        -subj /CN=homework -keyout $ssl.key -out $ssl.crt 2>/dev/null)
    chmod 644 $ssl.crt
    changed[/etc/nginx/ssl]=1
fi
all enabled nginx || systemctl -q enable nginx
if changes /etc/nginx; then nginx -t -q && systemctl reload-or-restart nginx; fi
all active nginx || systemctl start nginx

status=$(ufw status)
for port in 22 80 443; do
    if [[ $status != *"$port/tcp "*ALLOW* ]]; then ufw allow $port/tcp comment hwctl >/dev/null; fi
done
if [[ $status != 'Status: active'* ]]; then
    ufw --force enable >/dev/null
elif changes /etc/ufw; then
    ufw reload >/dev/null
fi
wait $container
rm -rf "$here" /var/tmp/large /var/tmp/large.done
