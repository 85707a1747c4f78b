"""Opens TLS connections to a host, says so, and holds them until it is told to end.

Usage: connections.py ADDRESS COUNT
"""

import asyncio
import ssl
import sys


async def main(address, count):
    context = ssl.create_default_context()
    # The host has made its certificate itself.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    held = [await asyncio.open_connection(address, 443, ssl=context) for _ in range(count)]
    print(len(held), flush=True)
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
