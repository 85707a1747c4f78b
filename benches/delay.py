#!/usr/bin/env python3
"""Makes a lab host as far away as one in another country: packets to its address and back wait in
this program, between two TUN devices, since not every kernel has netem.

Usage: benches/delay.py NETNS ADDRESS MILLISECONDS (each way; needs root). It prints "ready" and goes
on until it is stopped; then all is as before.
"""
import collections
import ctypes
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import time

TUNSETIFF, IFF_TUN_NO_PI = 0x400454CA, 0x1001
NEAR, FAR = "10.214.0.1", "10.214.0.2"


def tun(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN_NO_PI))
    return fd


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def set_up(name, own, peer):
    ip("addr", "add", own, "peer", peer, "dev", name)
    ip("link", "set", name, "mtu", "1500", "up")


def carry(near, far, delay):
    """Hands each packet on once it has waited; they stay in their order."""
    other = {near: far, far: near}
    waiting = collections.deque()
    while True:
        pause = max(0, waiting[0][0] - time.monotonic()) if waiting else None
        for fd in select.select([near, far], [], [], pause)[0]:
            waiting.append((time.monotonic() + delay, other[fd], os.read(fd, 65536)))
        while waiting and waiting[0][0] <= time.monotonic():
            _, to, packet = waiting.popleft()
            try:
                os.write(to, packet)
            except OSError:
                pass  # As a network does with what it has no room for.


def main():
    netns, address, milliseconds = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    # Devices, addresses and routes are gone with the open files.
    near = tun("hwctl-near")
    set_up("hwctl-near", NEAR, FAR)
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{netns}", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.setns(there, 0)
    far = tun("hwctl-far")
    set_up("hwctl-far", FAR, NEAR)
    libc.setns(here, 0)
    ip("route", "add", f"{address}/32", "dev", "hwctl-near", "src", NEAR)
    print("ready", flush=True)
    carry(near, far, float(milliseconds) / 1000)


main()
