# Makes the images of Postgres and of a worker, as root on a lab host that has Docker. /root/database and /root/worker are
# their programs.
# shellcheck shell=sh disable=SC2086,SC2046
export DEBIAN_FRONTEND=noninteractive
mkdir -p /etc/postgresql-common && echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
apt-get install -qq --no-install-recommends postgresql >/dev/null 2>&1
root=/root/image
mkdir -p $root/usr/bin $root/usr/lib $root/usr/share $root/etc $root/tmp $root/run $root/var/lib/postgresql/data
ln -s usr/bin $root/bin; ln -s usr/lib $root/lib; ln -s usr/lib64 $root/lib64; ln -s /run $root/var/run
cp -a /usr/bin/dash /usr/bin/sh /usr/bin/sleep /usr/bin/rm $root/usr/bin/
cp -a /usr/lib/postgresql /usr/lib/*-linux-gnu $root/usr/lib/
cp -a /usr/lib64 $root/usr/
cp -a /usr/share/postgresql /usr/share/zoneinfo $root/usr/share/
printf 'root:x:0:0::/:/bin/sh\npostgres:x:70:70::/:/bin/sh\n' >$root/etc/passwd
printf 'root:x:0:\npostgres:x:70:\n' >$root/etc/group
chown 70:70 $root/var/lib/postgresql/data; chmod 700 $root/var/lib/postgresql/data; chmod 1777 $root/tmp
cp /root/database /root/worker $root/ && chmod 755 $root/database $root/worker
path="ENV PATH=$(echo /usr/lib/postgresql/*/bin):/usr/bin"
tar -C $root -c . | docker import -c "$path" -c 'ENTRYPOINT ["/database"]' -c 'VOLUME /var/lib/postgresql/data' - postgres:17-alpine
tar -C $root -c . | docker import -c "$path" -c 'ENTRYPOINT ["/worker"]' - registry.example.com/shop/worker:4
rm -r $root
