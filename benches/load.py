"""Counts visits on kept connections until standard input ends, and prints what became of the requests.

Usage: benches/load.py ADDRESS TOKEN_FILE [CONNECTIONS]

Each connection sends its next request when it has the answer to the last. A request fails if it gets
no answer, another one than 200, or none within 10 s. A connection that nginx has closed between two requests
is opened anew, as every HTTP client does; that is no failure. Prints one JSON object: `requests`, `failed`,
`reasons` (how often each), `seconds` (from the first failure's begin to the last one's end) and
`lost` (counts that were acknowledged and are gone).
"""

import asyncio
import collections
import json
import ssl
import sys
import time

TIMEOUT_S = 10
# Without a pause a host that refuses connections would be asked thousands of times a second.
PAUSE_S = 0.02


class Load:
    def __init__(self, address, token):
        self.address = address
        self.request = (
            f"GET /flask/api/count HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n"
        ).encode()
        self.tls = ssl.create_default_context()
        self.tls.check_hostname = False
        self.tls.verify_mode = ssl.CERT_NONE
        self.requests = 0
        self.reasons = collections.Counter()
        self.failed_from = self.failed_to = None
        self.largest = self.lost = 0
        self.over = False

    def fail(self, began, reason):
        self.reasons[reason] += 1
        self.failed_from = self.failed_from or began
        self.failed_to = time.monotonic()

    async def one(self, reader, writer):
        """Sends a request. Returns the status, the body, and whether the connection stays."""
        writer.write(self.request)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return int(head.split(" ", 2)[1]), body, headers.get("connection") != "close"

    async def connection(self):
        reader = writer = None
        while not self.over:
            began = time.monotonic()
            self.requests += 1
            smallest = self.largest
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    if writer is None or reader.at_eof():
                        reader, writer = await asyncio.open_connection(self.address, 443, ssl=self.tls)
                    status, body, stays = await self.one(reader, writer)
            except (OSError, EOFError, TimeoutError) as error:
                self.fail(began, "no answer: " + type(error).__name__)
                writer = None
                await asyncio.sleep(PAUSE_S)
                continue
            if status == 200:
                visits = json.loads(body)["visits"]
                # Each answer's count is above all those that were acknowledged before it was asked for.
                if visits <= smallest:
                    self.lost = max(self.lost, smallest - visits + 1)
                self.largest = max(self.largest, visits)
            else:
                self.fail(began, str(status))
                await asyncio.sleep(PAUSE_S)
            if not stays:
                writer.close()
                writer = None

    async def run(self, connections):
        tasks = [asyncio.create_task(self.connection()) for _ in range(connections)]
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        self.over = True
        await asyncio.gather(*tasks)
        seconds = self.failed_to - self.failed_from if self.failed_from else 0
        print(
            json.dumps(
                {
                    "requests": self.requests,
                    "failed": self.reasons.total(),
                    "reasons": dict(self.reasons),
                    "seconds": round(seconds, 2),
                    "lost": self.lost,
                }
            )
        )


address, token_file = sys.argv[1:3]
with open(token_file, encoding="ascii") as file:
    load = Load(address, file.read().strip())
asyncio.run(load.run(int(sys.argv[3]) if len(sys.argv) > 3 else 32))
