"""This room is entered by `make test-llm` alone, which installs a real model and says under which interpreter."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

INTERPRETER = "AIF_TEST_LLM_PYTHON"
API_KEY = "sk-local"
_STARTS_WITHIN_SECONDS = 60

collect_ignore_glob = [] if INTERPRETER in os.environ else ["test_*.py"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model_url() -> AsyncIterator[str]:
    """Of a running server; without a path."""
    process = await asyncio.create_subprocess_exec(
        os.environ[INTERPRETER],
        str(Path(__file__).with_name("model_server.py")),
        API_KEY,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_STARTS_WITHIN_SECONDS):
            line = await process.stdout.readline()
        assert line, "the server ended before it served"
        yield line.decode().strip()
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
