"""A supervisor to be killed: starts one embedded server, tells its pid and URL in a line of JSON, stops it when stdin ends.

python -m support.supervisor_process nats|postgres FOLDER
"""

import asyncio
import json
import sys
from pathlib import Path

from aif_console.embedded.nats_server import EmbeddedNats
from aif_console.embedded.postgres_server import EmbeddedPostgres


async def supervise(kind: str, folder: Path) -> None:
    server = EmbeddedNats(folder) if kind == "nats" else EmbeddedPostgres(folder, durable=False)
    await server.start()
    url = server.url if isinstance(server, EmbeddedNats) else server.admin_url
    sys.stdout.write(json.dumps({"pid": server.pid, "url": url}) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()


if __name__ == "__main__":
    asyncio.run(supervise(sys.argv[1], Path(sys.argv[2])))
