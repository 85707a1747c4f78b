# shellcheck shell=sh
# Runs a lab host until it is powered off; made by hwctl for each host. $@: systemd-nspawn's arguments.
# Out of the cgroup of whoever started it: two hosts in one would meddle with each other's units.
# shellcheck disable=SC2043 # hwctl puts a list there
for cgroup in @CGROUPS@; do
    mkdir -p "$cgroup" && echo $$ > "$cgroup/cgroup.procs"
done
# Else systemd 257 and later refuse a machine with both cgroup versions.
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
# Else Docker cannot turn on ip_forward in the host's own network namespace.
export SYSTEMD_NSPAWN_API_VFS_WRITABLE=network
while :; do
    systemd-nspawn "$@"
    # 133: the host asked for a reboot. Its network starts from nothing then, as a machine's does.
    [ $? = 133 ] || exit
    (
        flock 9
        ip link delete @LINK@
        ip netns delete @NAMESPACE@
        @WIRING@
    ) 9>> @LOCK@
done
