#!/usr/bin/env bash
# Runs the first commands of README.md on a bare machine and measures them. The machine is a new Debian with
# a C compiler, git, CA certificates, a copy of this machine's Rust and a clone of the last commit, and nothing
# else. Crates and packages are downloaded anew.
#
# The bare machine shares this machine's kernel and network, and has its own files, mounts and processes.
# They need about 6 GB in FOLDER for as long as the script runs. FOLDER must not lie on an overlay or on a
# tmpfs, because lab hosts and Docker make overlays in it. Needs root and apt.
#
# Usage: tests/bare.sh [FOLDER]           default: /var/tmp
#        tests/bare.sh --shell [FOLDER]   a shell on the bare machine instead of the commands
# HWCTL_TEST_SHUFFLE=7 has the tests run in another order there, too.
# Exit status 1: a command failed, or something was left behind.
set -euo pipefail
fail() { echo "tests/bare.sh: $*" >&2 && exit 1; }

shell=false
if [[ ${1-} == --shell ]]; then shell=true && shift; fi
folder=$(realpath "${1:-/var/tmp}")
cd "$(dirname "$0")/.."

((EUID == 0)) || fail "the bare machine needs root: use sudo"
kind=$(stat --file-system --format %T "$folder")
[[ $kind != overlayfs && $kind != tmpfs ]] || fail "$folder is on $kind: name a folder on a disk"
sysroot=$(rustc --print sysroot)
[[ $sysroot != /usr && -x $sysroot/bin/cargo ]] ||
    fail "the Rust toolchain in $sysroot cannot be copied: install one with rustup"

root=''
session=''
finish() {
    local init
    trap '' INT TERM HUP
    if [[ $session ]] && init=$(cat "/proc/$session/task/$session/children" 2>/dev/null); then
        # The kernel ends all processes of the bare machine together with its first one.
        kill -KILL "${init% }" 2>/dev/null || kill -KILL "$session" 2>/dev/null || true
        wait "$session" 2>/dev/null || true
    fi
    [[ $root ]] || return 0
    # Hosts that a failed or interrupted run left have firewall rules and cgroups on this machine.
    if compgen -G "$root/var/lib/hwctl/lab/hosts/*" >/dev/null; then
        "${enter[@]}" bash -euo pipefail -c "$(declare -f take_down); take_down" </dev/null ||
            echo "tests/bare.sh: lab hosts left firewall rules or cgroups behind" >&2
    fi
    # Mounts were private to processes that have ended, so there are none to unmount. --one-file-system
    # protects what is mounted here all the same.
    rm -rf --one-file-system "$root"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Makes the bare machine's files.
make_root() {
    local options variable file
    if ! command -v mmdebstrap >/dev/null; then
        apt-get -qq update
        DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends \
            mmdebstrap debian-archive-keyring >/dev/null
    fi
    root=$(mktemp --directory --tmpdir="$folder" hwctl-bare-XXXXXX)
    # What apt, pip and cargo need to get through a proxy: settings, names of hosts, certificates.
    mapfile -t options < <(apt-config dump | sed -n -E 's/^(Acquire::(https?::|Check-|Retries ).*);$/--aptopt=\1/p')
    mmdebstrap --quiet --mode=root --variant=minbase --include=build-essential,ca-certificates,git \
        "${options[@]}" bookworm "$root"
    for file in /run/systemd/resolve/resolv.conf /etc/resolv.conf; do
        # The first one names the real servers where the second one names a stub on this machine only.
        if [[ -e $file ]]; then cp "$file" "$root/etc/resolv.conf" && break; fi
    done
    cp /etc/hosts "$root/etc/hosts"
    for file in /etc/pip.conf ~/.config/pip/pip.conf ~/.pip/pip.conf ~/.cargo/config.toml; do
        if [[ -e $file ]]; then install -D --mode=644 "$file" "$root/${file/#"$HOME"/root}"; fi
    done
    if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
        cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/"
        chroot "$root" update-ca-certificates >/dev/null 2>&1
    fi
    environment=(HOME=/root USER=root LANG=C.UTF-8 "TERM=${TERM:-dumb}"
        PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
    while IFS= read -r variable; do
        # A variable that names a file is of use only where the file is.
        if [[ ${!variable} != /* || -e $root${!variable} ]]; then environment+=("$variable=${!variable}"); fi
    done < <(compgen -e | grep -E -i '^(pip_|cargo_(http|net)_|ssl_cert_|(https?|all|no)_proxy$|hwctl_test_)|_ca_bundle$')

    mkdir "$root/opt/rust"
    cp -a "$sysroot/bin" "$sysroot/lib" "$root/opt/rust/"
    git clone --quiet --no-hardlinks . "$root/root/hwctl"
    # Hosts are told apart by the path of their lab, which has to differ from this machine's.
    mkdir -p "$root/var/lib/hwctl/${root##*/}"
    ln -s "${root##*/}" "$root/var/lib/hwctl/lab"
    enter=(unshare --mount --pid --fork --kill-child bash -euo pipefail -c
        "$(declare -f become_bare); become_bare \"\$@\"" bare "$root" env -i "${environment[@]}")
}

# Turns this process, which has mounts of its own, into one of the bare machine.
become_bare() {
    mount --bind "$1" "$1"
    cd "$1"
    mount -t proc proc proc
    mount --rbind /sys sys
    mount --rbind /dev dev
    mount -t tmpfs -o mode=755 tmpfs run
    # All labs of a machine share one lock, because they share its network.
    mkdir -p /run/lock run/lock
    mount --bind /run/lock run/lock
    # Not chroot, which is no mount point: `ip netns exec` and systemd-nspawn need `/` to be one.
    pivot_root . mnt
    umount --lazy /mnt
    cd /root/hwctl
    exec "${@:2}"
}

# The rest runs on the bare machine.

# Runs the commands, says how long each took, and looks for what they left behind.
measure() {
    local command start took status total=0 failed=0 times=''
    for command in "$@"; do
        printf '\n== %s\n' "$command"
        start=${EPOCHREALTIME/./} status=0
        bash -c "$command" </dev/null || status=$?
        took=$(((${EPOCHREALTIME/./} - start) / 1000)) total=$((total + took))
        # README has comments behind its commands.
        printf -v times '%s%7d.%d s  %s' "$times" $((took / 1000)) $((took / 100 % 10)) "${command%%  *}"
        if ((status != 0)); then
            failed=1
            times+="  (failed with exit status $status)"
        fi
        times+=$'\n'
    done
    printf '\n== What is left behind\n'
    take_down || failed=1
    find_leftovers || failed=1
    printf '\n== Times on a bare machine\n%s%7d.%d s  total\n' "$times" $((total / 1000)) $((total / 100 % 10))
    return "$failed"
}

# Takes the host down that the first command leaves running, and what failed tests left.
take_down() {
    local hwctl
    hwctl=$(find target -type f -name hwctl -perm -u+x -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2)
    [[ -z $hwctl ]] || "$hwctl" lab down --all
}

# Reports files, hosts, firewall rules and processes that are still there, and fails if there are any.
find_leftovers() {
    local failed=0 left pid
    report() {
        if [[ $2 ]]; then
            printf '%s:\n%s\n' "$1" "$2"
            failed=1
        fi
    }
    report 'files in the work tree' "$(git status --porcelain)"
    report 'network namespaces' "$(if command -v ip >/dev/null; then ip netns list; fi)"
    report 'bridges of lab hosts that are gone' "$(find /sys/class/net/hwctl*/brif -maxdepth 0 -empty 2>/dev/null || true)"
    report 'firewall rules of lab hosts that are gone' "$(stale_rules)"
    # A process may need a moment to end.
    for _ in {1..50}; do
        left=''
        for pid in /proc/[0-9]*; do
            pid=${pid#/proc/}
            # A process without a command line has ended.
            if ((pid != $$)) && read -r -d '' _ <"/proc/$pid/cmdline"; then
                left+="$pid $(tr '\0' ' ' <"/proc/$pid/cmdline")"$'\n'
            fi
        done 2>/dev/null
        [[ $left ]] || break
        sleep 0.1
    done
    report 'processes that still run 5 s later' "$left"
    if ((failed == 0)); then echo nothing; fi
    return "$failed"
}

# Prints firewall rules whose host has no link. The rules of hosts that run outside have one.
stale_rules() {
    command -v iptables-save >/dev/null || return 0
    (
        # No lab changes its links and rules meanwhile.
        flock 9
        iptables-save | awk -v links=" $(cd /sys/class/net && echo *) " '
            match($0, /hwctl-lab-[^ "]+/) {
                comment = substr($0, RSTART, RLENGTH)
                rules[comment] = rules[comment] $0 "\n"
                for (i = 1; i <= NF; i++)
                    if ($i ~ /^hwctl[0-9]+$/ && index(links, " " $i " ")) alive[comment] = 1
            }
            END { for (comment in rules) if (!(comment in alive)) printf "%s", rules[comment] }'
    ) 9>>/run/lock/hwctl-lab
}

echo "== Makes the bare machine in $folder"
make_root
if $shell; then
    "${enter[@]}" bash
    exit
fi
mapfile -t commands < <(
    awk '/^    / { found = 1; if (/^    cargo /) print substr($0, 5); next } found { exit }' \
        "$root/root/hwctl/README.md"
)
((${#commands[@]} > 0)) || fail "README.md does not begin with commands"
"${enter[@]}" bash -euo pipefail -c "$(declare -f measure take_down find_leftovers stale_rules)"'; measure "$@"' \
    bare "${commands[@]}" </dev/null &
session=$!
status=0
wait "$session" || status=$?
session=''
exit "$status"
