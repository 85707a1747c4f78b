#!/bin/sh
# Made by hwctl. Provisions this machine with the bundle that `hwctl cloud-init` made for it.
set -eu
umask 077
fail() { echo "hwctl-first-boot: $*" >&2 && exit 1; }
cd /var/lib/hwctl/first-boot
url=@URL@
sha256=@SHA256@
# Where the inventory is in the bundle.
inventory=@INVENTORY@
name=@NAME@

is_whole() { echo "$sha256  bundle.tar.gz" | sha256sum --check --status - 2>/dev/null; }
[ "$(uname -m)" = '@MACHINE@' ] || fail 'this machine is no @MACHINE@, for which its hwctl was built'
if ! is_whole; then
    [ "$url" ] || fail 'the bundle in the user-data is damaged'
    # The network may be up later than cloud-init. Python is there, because cloud-init is written in it.
    python3 - "$url" <<'END OF FETCH' || fail "there is no bundle at $url"
import http.client, shutil, sys, time, urllib.request

error = None
for _ in range(300):
    try:
        with urllib.request.urlopen(sys.argv[1], timeout=30) as answer, open("bundle.tar.gz", "wb") as file:
            shutil.copyfileobj(answer, file)
        sys.exit(0)
    except (OSError, http.client.HTTPException) as failed:
        error = failed
        time.sleep(1)
print(f"hwctl-first-boot: {error}", file=sys.stderr)
sys.exit(1)
END OF FETCH
    is_whole || fail "the bundle at $url is not the one that this machine was made for (SHA-256 $sha256)"
fi
rm -rf bundle
mkdir bundle
tar -xzf bundle.tar.gz -C bundle --no-same-owner
cd "bundle/${inventory%/*}"
if [ -z "$name" ]; then
    # A machine of a group: it knows its name and address itself.
    name=$(hostname)
    address=$(ip -o route get 192.0.2.1 | sed -n 's/.* src \([^ ]*\).*/\1/p')
    [ "$address" ] || fail 'this machine has no address yet'
    sed -i "s/hwctl-member-name/$name/g; s/hwctl-member-address/$address/g" "${inventory##*/}"
fi
# Settings of an Ansible on this machine are not meant.
export ANSIBLE_CONFIG=/dev/null
# Scripts of packages expect this.
umask 022
/var/lib/hwctl/first-boot/bundle/hwctl provision --inventory "${inventory##*/}" --host "$name" ||
    fail 'the machine is not provisioned: see above, and `hwctl history` for what was undone'

rm -f /etc/systemd/system/hwctl-first-boot.service
rm -f /etc/systemd/system/cloud-init.target.wants/hwctl-first-boot.service
systemctl daemon-reload
rm -rf /var/lib/hwctl/first-boot
