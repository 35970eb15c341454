"""The provider double in a process of its own: prints its address, ends when its standard input does.

The first argument is the seconds that an answer takes.
"""

import asyncio
import sys
from pathlib import Path


async def _serve(seconds_for_an_answer: float) -> None:
    from support.provider_double.server import provider_double

    async with provider_double() as double:
        double.seconds_for_an_answer = seconds_for_an_answer
        sys.stdout.write(f"{double.url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    asyncio.run(_serve(float(sys.argv[1])))
