#!/usr/bin/env bash
# Installs the Debian package of target/dist on a lab host of each release, provisions another lab host from there as
# an ordinary user, removes the package and looks for what it left. Builds the package if there is none. Needs root.
#
# Usage: tests/packages.sh
set -euo pipefail
fail() { echo "tests/packages.sh: $*" >&2 && exit 1; }
cd "$(dirname "$0")/.."

((EUID == 0)) || fail "lab hosts need root: use sudo"
shopt -s nullglob
packages=(target/dist/*.deb)
if ((${#packages[@]} == 0)); then
    packaging/dist.sh
    packages=(target/dist/*.deb)
fi
((${#packages[@]} == 1)) || fail "target/dist has ${#packages[@]} packages: leave one"
package=${packages[0]}

lab=${HWCTL_LAB_DIR:-/var/lib/hwctl/lab}
program=target/dist-stage/hwctl/hwctl
hosts=(package-from package-to)
hwctl() { "$program" "$@"; }
trap 'hwctl lab down "${hosts[@]}" >/dev/null 2>&1 || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Runs a command line as root, or as the ordinary user ann, on the host that has the package.
as_root() { hwctl lab ssh package-from -- sudo bash -euo pipefail -c "$(printf %q "$1")"; }
as_ann() { hwctl lab ssh package-from -- sudo -u ann -i bash -euo pipefail -c "$(printf %q "$1")"; }
step() { printf '\n== %s: %s\n' "$release" "$*" >&2; }
# Prints all names on the host that have to do with hwctl, besides ann's own files.
traces() {
    as_root "find / -xdev \\( -path /proc -o -path /sys -o -path /home/ann \\) -prune -o -iname '*hwctl*' -print | sort"
}

for release in bookworm trixie; do
    step "booting two hosts"
    hwctl lab up package-from --release "$release" >/dev/null
    hwctl lab up package-to --release "$release" >/dev/null
    address=$(hwctl lab list | awk '$1 == "package-to" { print $2 }')
    archive=$(find "$lab/images" -name 'redis-*.tar' | head -n 1)
    [[ $archive ]] || fail "the stand-in image is missing: hwctl provision --lab makes it"
    before=$(traces)

    step "installing"
    hwctl lab ssh package-from -- 'cat >/tmp/hwctl.deb' <"$package"
    as_root 'useradd --create-home --shell /bin/bash ann; cd /tmp; apt-get -qq install -y ./hwctl.deb >/dev/null; rm hwctl.deb'
    as_root 'hwctl --version; man -w hwctl-provision 2>/dev/null || ls /usr/share/man/man1/hwctl-provision.1.gz'
    as_root 'for file in bash-completion/completions/hwctl zsh/vendor-completions/_hwctl \
        fish/vendor_completions.d/hwctl.fish doc/hwctl/copyright; do test -s "/usr/share/$file"; done'
    files=$(as_root 'dpkg -L hwctl')

    step "provisioning another host as an ordinary user"
    as_root 'install -d -m 700 -o ann /home/ann/.ssh; cat >/home/ann/.ssh/id_ed25519; chown ann: /home/ann/.ssh/id_ed25519
        chmod 600 /home/ann/.ssh/id_ed25519' <"$lab/key/id_ed25519"
    as_root 'cat >/home/ann/redis.tar' <"$archive"
    as_ann "hwctl init site --host $address --user ubuntu >/dev/null"
    as_ann 'cd site && hwctl provision --accept-new-host-key --set redis.image_archive=../redis.tar'
    as_ann 'cd site && hwctl status && hwctl plan'

    step "removing"
    as_root 'apt-get -qq purge -y hwctl >/dev/null'
    left=$(as_root 'while read -r file; do if [[ -f $file ]]; then echo "$file"; fi; done' <<<"$files")
    [[ -z $left ]] || fail "the package left files: $left"
    after=$(traces)
    [[ $before == "$after" ]] || fail "the package left traces: $(diff <(echo "$before") <(echo "$after") || true)"
    hwctl lab down "${hosts[@]}" >/dev/null
done
printf '\nThe package installs, works and leaves nothing on bookworm and trixie.\n'
