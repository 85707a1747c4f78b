# shellcheck shell=sh
# Finishes the base of lab hosts; runs inside it, once for each release. $1: names of packages that apt shall know;
# the others: packages to fetch.
set -eu
export DEBIAN_FRONTEND=noninteractive

# What cloud-init makes of a fresh VM: one user with a key and sudo, and no other way in.
useradd --create-home --uid 1000 --user-group --groups adm,sudo --shell /bin/bash ubuntu
install -d -o ubuntu -g ubuntu -m 0700 /home/ubuntu/.ssh
echo 'ubuntu ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/90-cloud-init-users
chmod 0440 /etc/sudoers.d/90-cloud-init-users
passwd --lock root > /dev/null
mkdir -p /etc/ssh/sshd_config.d
cat > /etc/ssh/sshd_config.d/60-cloudimg-settings.conf <<'EOF'
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
EOF
# ssh prefers an exchange of keys that takes a tenth of a second of CPU for each login.
echo 'KexAlgorithms curve25519-sha256' > /etc/ssh/sshd_config.d/70-lab.conf
echo 'LANG=C.UTF-8' > /etc/default/locale
# Each host gets its own.
rm -f /etc/ssh/ssh_host_*

# The daily apt runs would take the dpkg lock at a random moment of somebody's test.
# A host that is to have them: systemctl enable --now apt-daily.timer apt-daily-upgrade.timer
systemctl disable apt-daily.timer apt-daily-upgrade.timer

# What they look for is not on these hosts, and each is a process more for every `systemctl daemon-reload`.
mkdir -p /etc/systemd/system-generators
for generator in cryptsetup debug getty gpt-auto hibernate-resume integritysetup rc-local run ssh system-update \
    tpm2 veritysetup; do
    ln -s /dev/null "/etc/systemd/system-generators/systemd-$generator-generator"
done

# The kernel is this machine's, and no disk is theirs. A `systemctl daemon-reload` reads every unit that others name, and
# a provision makes ten of them: without these it takes a third less.
systemctl mask --quiet modprobe@.service sys-kernel-debug.mount sys-kernel-tracing.mount
cd /usr/lib/systemd/system
for unit in e2scrub_* emergency.* fstrim.* getty-static.service initrd* kmod-static-nodes.service \
    proc-sys-fs-binfmt_misc.* rescue.* soft-reboot.target sys-fs-fuse-connections.mount sys-kernel-config.mount \
    systemd-ask-password-* systemd-battery-check.service systemd-binfmt.service systemd-bsod.service \
    systemd-confext.service systemd-firstboot.service systemd-fsck-root.service systemd-hibernate-* \
    systemd-initctl.* systemd-modules-load.service systemd-pcr* systemd-pstore.service systemd-quotacheck* \
    systemd-random-seed.service systemd-soft-reboot.service systemd-sysext* systemd-tpm2-* tpm2.target; do
    case $unit in
        *@* | *.d | *.wants | *.requires) ;;
        *) if [ -e "$unit" ]; then systemctl mask --quiet "$unit"; fi ;;
    esac
done
cd /
# Every login would run a shell and other programs for a message of the day.
sed -i '/pam_motd/d' /etc/pam.d/sshd /etc/pam.d/login
# Nor does each login start a systemd of the user: the first one stays.
mkdir -p /var/lib/systemd/linger
touch /var/lib/systemd/linger/ubuntu
# First boots do what an image has behind it: another cache of the linker, another catalog of messages.
touch /etc/.updated /var/.updated

# The network is set up from outside.
for unit in systemd-networkd.service systemd-networkd.socket networking.service; do
    systemctl disable "$unit" 2> /dev/null || true
done

# Only fetched, so that a host's own apt installs them without the network. A package that a release
# does not have is part of another one there.
apt-get update
known=$1
shift
for package; do
    shift
    if apt-cache show "$package" > /dev/null 2>&1; then set -- "$@" "$package"; fi
done
apt-get install --download-only --no-install-recommends --yes "$@"

# Decompressing packages is a quarter of what a provision costs, so they lie here without compression. Each line
# of `packed`: package, version, size and digest.
cd /var/cache/apt/archives
for package in *.deb; do
    dpkg-deb --raw-extract "$package" /tmp/unpacked
    dpkg-deb -Znone --build /tmp/unpacked "$package" > /dev/null
    rm -r /tmp/unpacked
    digest=$(sha256sum "$package")
    # shellcheck disable=SC2016 # dpkg-deb's own variables
    echo "$(dpkg-deb --show --showformat '${Package} ${Version}' "$package")" \
        "$(stat --format %s "$package") ${digest%% *}"
done > /tmp/packed

# Reading the lists of a whole archive is most of what apt does for each answer: seconds, on hosts that live for
# seconds. So a host's lists are short: they name what is installed, what is known, and what these need.
for package in $known; do
    if apt-cache show "$package" > /dev/null 2>&1; then set -- "$@" "$package"; fi
done
cd /var/lib/apt/lists
# shellcheck disable=SC2046 # names of packages
apt-cache depends --recurse --important "$@" $(dpkg-query --show --showformat '${Package} ') |
    sed -n 's/^\([a-z0-9][^ :<]*\).*/\1/p' > /tmp/names
for list in *_Packages *_Translation-en; do
    awk '
        FILENAME == "/tmp/names" { wanted[$1]; next }
        FILENAME == "/tmp/packed" { size[$1, $2] = $3; digest[$1, $2] = $4; next }
        /^Package: / { name = $2; version = ""; is_wanted = name in wanted }
        /^Version: / { version = $2 }
        (name, version) in size && /^MD5sum: / { next }
        (name, version) in size && /^Size: / { $2 = size[name, version] }
        (name, version) in size && /^SHA256: / { $2 = digest[name, version] }
        is_wanted' /tmp/names /tmp/packed "$list" > /tmp/list
    cat /tmp/list > "$list"
done
rm /tmp/names /tmp/packed /tmp/list
# `apt-get update` fetches a list whose digest is another one than the archive says: with it the host knows all.
sed -i -E '/(Packages|Translation-en)(\.[a-z0-9]+)?$/s/^( *)[0-9a-f]{4}/\10000/' ./*Release
apt-cache gencaches
# Older than the sources: what the lists lack may be had after an update.
touch --date '30 days ago' .
