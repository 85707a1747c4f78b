# shellcheck shell=sh
# Finishes the base of lab hosts; runs inside it, once for each release. $@: packages to fetch.
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
echo 'LANG=C.UTF-8' > /etc/default/locale
# Each host gets its own.
rm -f /etc/ssh/ssh_host_*

# The daily apt runs would take the dpkg lock at a random moment of somebody's test.
# A host that is to have them: systemctl enable --now apt-daily.timer apt-daily-upgrade.timer
systemctl disable apt-daily.timer apt-daily-upgrade.timer

# The network is set up from outside.
for unit in systemd-networkd.service systemd-networkd.socket networking.service; do
    systemctl disable "$unit" 2> /dev/null || true
done

# Only fetched, so that a host's own apt installs them without the network. A package that a release
# does not have is part of another one there.
apt-get update
for package; do
    shift
    if apt-cache show "$package" > /dev/null 2>&1; then set -- "$@" "$package"; fi
done
apt-get install --download-only --yes "$@"
