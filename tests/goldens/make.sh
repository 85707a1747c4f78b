#!/usr/bin/env bash
# Makes golden records: what a version of hwctl leaves on a host after some runs. Needs root, and the lab.
#
#     tests/goldens/make.sh HWCTL FOLDER
#
# HWCTL is the binary of that version, FOLDER where the records go. It boots `lab1` and takes it down. Private
# keys, and who ran it on which machine, are replaced by as many letters of no meaning.
set -euo pipefail

hwctl=$(realpath "$1")
folder=$(realpath --canonicalize-missing "$2")
work=$(mktemp --directory)
cd "$work"

finish() {
    "$hwctl" lab down lab1
    rm -rf "$work"
}

if "$hwctl" lab list | grep -q '^lab1 '; then
    echo "there is a host \`lab1\`: \`hwctl lab down lab1\` removes it" >&2
    exit 1
fi
trap finish EXIT

on_host() { "$hwctl" lab ssh lab1 -- sudo "$@"; }

# A site and settings that come, change, come back and go.
docs='sites.docs={path: /docs, root: /var/www/docs, users: {bob: a-throw-away-password}}'
"$hwctl" provision --lab --set "$docs"
"$hwctl" provision --lab --set "$docs" --set logrotate.keep=9 --set 'firewall.allow=[80/tcp, 443/tcp, 8443/tcp]'
"$hwctl" rollback --lab --yes
"$hwctl" provision --lab

# Another version of the API, and the way back to the first.
on_host cat /usr/local/lib/hwctl/api/flask-app >flask-app
LC_ALL=C sed -i 's/0\.1\.0/0.1.9/g' flask-app
chmod 755 flask-app
"$hwctl" deploy --lab --binary flask-app
"$hwctl" deploy --lab --rollback

"$hwctl" cert renew --lab --days 60

# A run that fails at its end and is undone.
mkdir -p templates/systemd
echo 'nonsense' >templates/systemd/flask-app.service
"$hwctl" provision --lab && exit 1
rm -r templates

rm -rf "$folder"
mkdir -p "$folder"
# The first versions kept no specs of parts.
on_host tar --create --ignore-failed-read --directory /var/lib/hwctl manifest runs parts.json |
    tar --extract --no-same-owner --directory "$folder"
find "$folder" -type f -exec chmod 644 {} +
find "$folder" -type d -exec chmod 755 {} +
find "$folder" -name run.json -exec sed -i 's/"operator": "[^"]*"/"operator": "somebody@somewhere"/' {} +
find "$folder" -type f -exec perl -0777 -i -pe '
    sub blank { shift =~ tr{A-Za-z0-9+/=.}{A}r }
    s{(?<=-----BEGIN PRIVATE KEY-----\n).*?(?=-----END)}{blank($&)}gse;
    s{\$(?:6|argon2id)\$\K[A-Za-z0-9./+\$=,]+}{ join "\$", map { blank($_) } split /\$/, $& }ge;
' {} +
if grep --recursive --quiet --text --fixed-strings -e "@$(hostname)" -e a-throw-away-password "$folder"; then
    echo "a name of this machine or a password is in \`$folder\`" >&2
    exit 1
fi
