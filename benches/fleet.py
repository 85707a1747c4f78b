#!/usr/bin/env python3
"""What one more host costs hwctl itself: `hwctl plan` of many hosts, all of them the engine of one lab
host behind its real sshd, so that a thousand fit on one machine.

Prints for each number of hosts the wall time, the CPU time of hwctl itself and of its ssh processes,
and the peak memory of hwctl itself, and what each grows by for a host. Needs root, as the lab does.
Exit status 1: a host failed, or a goal was missed. HWCTL names a ready hwctl.

Usage: benches/fleet.py [--json] [--parallel N] [HOSTS...]      (default: 1 8 32 1000)
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

LAB = pathlib.Path(os.environ.get("HWCTL_LAB_DIR", "/var/lib/hwctl/lab"))
NAME = f"fleet-{os.getpid()}"
CPU_GOAL_MS = 60
MEMORY_GOAL_MB = 3
# One sshd stands for all hosts: it has to take as many logins as they would together.
SSHD = "MaxStartups 1000:30:2000\nPerSourcePenalties no\n"


def ready_hwctl() -> str:
    named = os.environ.get("HWCTL")
    if not named:
        subprocess.run(["cargo", "build", "--release", "--quiet"], check=True)
        built = pathlib.Path("target").glob("**/release/hwctl")
        named = max(built, key=lambda path: path.stat().st_mtime)
    return str(pathlib.Path(named).resolve())


def inventory(folder: pathlib.Path, address: str, hosts: int) -> None:
    archive = next((LAB / "images").glob("redis-*.tar"))
    lines = [
        "all:",
        "  vars:",
        "    ansible_user: ubuntu",
        f"    ansible_host: {address}",
        f"    ansible_ssh_private_key_file: {LAB}/key/id_ed25519",
        f"    redis: {{ image_archive: {archive} }}",
        "    api: { users: { admin: bench-of-many-hosts } }",
        "    sites: { site2: { users: { admin: bench-of-many-hosts } } }",
        "  hosts:",
        *(f"    h{number}:" for number in range(1, hosts + 1)),
    ]
    (folder / "inventory.yaml").write_text("\n".join(lines) + "\n")


def measure(command: list[str], folder: pathlib.Path) -> dict[str, float]:
    began = time.monotonic()
    said = open(folder / "said", "wb")
    process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said)
    peak = 0
    while True:
        # It stays to be looked at until it is waited for.
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        if ended:
            break
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        sizes = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
        peak = max(peak, int(sizes[0]) if sizes else 0)
        time.sleep(0.01)
    wall = time.monotonic() - began
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
    own, children = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    tick = os.sysconf("SC_CLK_TCK")
    if process.wait() != 0:
        sys.exit((folder / "said").read_text()[-2000:])
    return {
        "wall_s": wall,
        "cpu_s": own / tick,
        "ssh_cpu_s": children / tick,
        "memory_mb": peak / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--parallel", default="32")
    parser.add_argument("hosts", nargs="*", type=int, default=[1, 8, 32, 1000])
    args = parser.parse_args()
    os.chdir(pathlib.Path(__file__).resolve().parent.parent)
    hwctl = ready_hwctl()
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        up = subprocess.run([hwctl, "lab", "up", NAME], check=True, capture_output=True, text=True)
        try:
            address = up.stdout.split()[1]
            known = ["--known-hosts", str(LAB / "hosts" / NAME / "known_hosts")]
            inventory(folder, address, 1)
            quiet = {"check": True, "cwd": folder, "stdout": subprocess.DEVNULL}
            subprocess.run([hwctl, "provision", *known], **quiet)
            place = "/etc/ssh/sshd_config.d/fleet.conf"
            script = f"printf '{SSHD}' | sudo tee {place} && sudo systemctl restart ssh"
            subprocess.run([hwctl, "lab", "ssh", NAME, "--", script], **quiet)
            for hosts in args.hosts:
                inventory(folder, address, hosts)
                plan = [hwctl, "plan", "--parallel", args.parallel, *known]
                found.append({"hosts": hosts} | measure(plan, folder))
                if not args.json:
                    row = found[-1]
                    print(
                        f"{hosts:5} hosts {row['wall_s']:8.2f} s {row['cpu_s']:7.2f} s CPU"
                        f" {row['ssh_cpu_s']:7.2f} s of ssh {row['memory_mb']:7.1f} MB",
                        flush=True,
                    )
        finally:
            subprocess.run([hwctl, "lab", "down", NAME], check=True, stdout=subprocess.DEVNULL)
    first, last = found[0], found[-1]
    more = max(last["hosts"] - first["hosts"], 1)
    cpu = (last["cpu_s"] - first["cpu_s"]) / more * 1000
    memory = (last["memory_mb"] - first["memory_mb"]) / more
    if args.json:
        each = {"cpu_ms": round(cpu, 2), "memory_mb": round(memory, 3)}
        print(json.dumps({"runs": found, "each_further_host": each}))
    else:
        print(f"each further host: {cpu:.1f} ms CPU (goal {CPU_GOAL_MS})")
        print(f"each further host: {memory:.2f} MB (goal {MEMORY_GOAL_MB})")
    if cpu > CPU_GOAL_MS or memory > MEMORY_GOAL_MB:
        sys.exit(1)


if __name__ == "__main__":
    main()
