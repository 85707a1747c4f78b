#!/usr/bin/env bash
# `hwctl provision` where all is right, on a host with apps, containers and files of one's own against one with hwctl's
# own stack alone. In turn on two lab hosts.
# Usage: benches/own.sh [--json] [ROUNDS [APPS [CONTAINERS [FILES]]]]; see benches/lab.sh.
cd "$(dirname "$0")/.."
. benches/lab.sh
json=
if [[ ${1-} == --json ]]; then json=yes && shift; fi
rounds=${1:-15} apps=${2:-10} containers=${3:-10} files=${4:-100}
plain=$name-1 full=$name-2
up "$plain"
up "$full"
use_hosts "$plain" "$full"

mkdir "$folder/app"
printf '%s\n' 'import os' 'from http.server import HTTPServer, SimpleHTTPRequestHandler' \
    'HTTPServer(("127.0.0.1", int(os.environ["PORT"])), SimpleHTTPRequestHandler).serve_forever()' >"$folder/app/app.py"
{
    printf 'all:\n  hosts:\n    %s:\n      apps:\n' "$full"
    for ((i = 1; i <= apps; i++)); do
        echo "        app$i: { path: /app$i, source: app, run: [python3, app.py], packages: [python3], health: / }"
    done
    echo '      containers:'
    for ((i = 1; i <= containers; i++)); do
        echo "        box$i: { image: 'redis:7-alpine', image_archive: $archive, command: [busybox, sleep, infinity], volumes: ['box$i:/data'] }"
    done
    echo '      files:'
    for ((i = 1; i <= files; i++)); do echo "        /srv/own/file$i: { content: 'This is file $i.' }"; done
    echo '      folders: { /srv/own: {} }'
} >"$folder/own.yaml"
compare_no_ops "$rounds" "$plain" "$full"

what="$apps apps, $containers containers, $files files"
if [[ $json ]]; then
    printf '{"plain_ms":%.1f,"full_ms":%.1f,"ratio":%s,"rounds":%d,"with":"%s"}\n' "$(figure plain)" "$(figure full)" \
        "$(ratio full plain)" "$rounds" "$what"
else
    printf 'no-op with none of one'\''s own      %8.1f ms\n' "$(figure plain)"
    printf 'no-op with %s: %.1f ms\n' "$what" "$(figure full)"
    echo "ratio: $(ratio full plain) (goal: 1.3)"
fi
