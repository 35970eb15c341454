"""The complete example of the Python client's README, run as a program of its own beside a factory."""

import asyncio
import os
import re
import sys
from pathlib import Path

import aif_client
from aif_console.factory.factory import Factory

README = (Path(aif_client.__path__[0]) / "README.md").read_text(encoding="utf-8")


async def test_the_example_of_the_readme_runs_and_gets_its_result(factory: Factory) -> None:
    example = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    settings = {"AIF_URL": factory.kam_url, "AIF_API_KEY": factory.keys.client_key}

    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", example), env={**os.environ, **settings}, stdout=asyncio.subprocess.PIPE
    )
    said = (await asyncio.wait_for(program.communicate(), 60))[0].decode()

    assert program.returncode == 0
    assert re.match(r"Success: True\nCost: \$0\nDuration: \d+ ms\nOutput: Dear Mrs \[PERSON\], the delivery of", said), said
    assert "write to [EMAIL] when" in said
    assert said.splitlines()[-1].endswith(" aif.workflow_completed")
