"""The pyinfra peer: the same stack with the operations that one would use."""

import json
import os

from pyinfra import host
from pyinfra.facts.docker import DockerContainer, DockerImage, DockerVolume
from pyinfra.facts.files import File
from pyinfra.facts.server import Command
from pyinfra.operations import apt, files, server, systemd

stack = json.load(open(os.environ["STACK"]))

apt.packages(packages=stack["packages"], no_recommends=True, cache_time=86400, update=True)
server.user(
    user="flask-app",
    system=True,
    home="/home/ubuntu/Flask-app",
    ensure_home=False,
    shell="/usr/sbin/nologin",
)
for entry in stack["directories"]:
    files.directory(
        path=entry["path"],
        mode=entry["mode"].lstrip("0"),
        user=entry["owner"],
        group=entry["group"],
    )
copies = [
    files.put(
        src=entry["source"],
        dest=entry["path"],
        mode=entry["mode"].lstrip("0"),
        user=entry["owner"],
        group=entry["group"],
    )
    for entry in stack["files"]
]
for entry in stack["links"]:
    files.link(path=entry["path"], target=entry["target"])
for path in stack["absent"]:
    files.link(path=path, present=False)

if host.get_fact(File, path="/etc/nginx/ssl/homework.crt") is None:
    server.shell(
        commands="openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365"
        " -subj /CN=homework -keyout /etc/nginx/ssl/homework.key -out /etc/nginx/ssl/homework.crt"
    )

firewall = host.get_fact(Command, command="ufw status || true") or ""
for port in (22, 80, 443):
    if f"{port}/tcp " not in firewall:
        server.shell(commands=f"ufw allow {port}/tcp comment hwctl")
if "Status: active" not in firewall:
    server.shell(commands="ufw --force enable")

if not host.get_fact(DockerImage, object_id="redis:7-alpine"):
    files.put(src=os.environ["ARCHIVE"], dest="/var/tmp/redis.tar", mode="600")
    server.shell(commands="docker load -q -i /var/tmp/redis.tar")
if not host.get_fact(DockerVolume, object_id="flask-app_redis-data"):
    server.shell(commands="docker volume create flask-app_redis-data")
if not host.get_fact(DockerContainer, object_id="redis-flask"):
    server.shell(
        commands="docker run -d --name redis-flask --restart unless-stopped --user 999:1000 --cap-drop ALL"
        " --read-only --security-opt no-new-privileges --tmpfs /tmp:rw,noexec,nosuid,nodev,size=64m"
        " --log-opt max-file=3 --log-opt max-size=10m -p 127.0.0.1:6379:6379"
        " -v flask-app_redis-data:/data -v /etc/hwctl/redis/redis.conf:/etc/redis/redis.conf:ro"
        " -v /var/lib/redis-flask:/run/redis redis:7-alpine redis-server /etc/redis/redis.conf"
    )

if any(copy.will_change for copy in copies):
    systemd.daemon_reload()
    systemd.service(service="nginx", reloaded=True)
for unit in ("docker.service", "nginx.service", "flask-app.socket", "flask-app.service"):
    systemd.service(service=unit, running=True, enabled=True)
