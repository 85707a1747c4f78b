#!/bin/sh
# Made by hwctl cloud-init. At its first boot this machine provisions itself.
set -eu
umask 077
mkdir -p /var/lib/hwctl/first-boot
cd /var/lib/hwctl/first-boot

cat >run <<'END OF RUN'
@RUN@
END OF RUN
chmod 700 run

# It runs once cloud-init is done, and again after a failure: at most five times in an hour.
cat >/etc/systemd/system/hwctl-first-boot.service <<'END OF UNIT'
# Made by hwctl cloud-init. It goes once the machine is provisioned.
[Unit]
Description=hwctl provisions this machine
Wants=network-online.target
After=network-online.target cloud-final.service
StartLimitIntervalSec=1h
StartLimitBurst=5

[Service]
Type=oneshot
ExecStart=/var/lib/hwctl/first-boot/run
Restart=on-failure
RestartSec=30

[Install]
WantedBy=cloud-init.target
END OF UNIT
@BUNDLE@
systemctl daemon-reload
systemctl enable --quiet --now --no-block hwctl-first-boot.service
exit 0
