"""The LiteLLM proxy as a peer of the door: installed by whoever wants to compare, never a dependency of ours.

One worker process, without logs, telemetry, database or keys of its own, before the same provider.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from aif_console.embedded.ports import chosen_port
from load.door_askers import KEY, MODEL

VARIABLE = "LITELLM"
_ENVIRONMENT = {
    "LITELLM_LOG": "ERROR",
    # Its own list of prices, without asking the network for a newer one.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    # Who asks is checked by neither side of the comparison.
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}
_READY_SECONDS = 120.0
_LOOK_SECONDS = 0.2


class ProxyDidNotStart(Exception):
    """The message is what it said last."""


class RunningProxy(Struct, frozen=True, kw_only=True):
    url: str
    pid: int


def litellm_program() -> Path | None:
    """The program to compare with, if one is named."""
    named = os.environ.get(VARIABLE)
    return Path(named).absolute() if named else None


@asynccontextmanager
async def running_proxy(program: Path, folder: Path, provider_url: str) -> AsyncIterator[RunningProxy]:
    folder.mkdir(parents=True, exist_ok=True)
    config, log_path = folder / "litellm.yaml", folder / "litellm.log"
    # JSON is YAML, too.
    config.write_bytes(msgspec.json.encode(_configuration(provider_url)))
    port = chosen_port(folder / "port")
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(program, "--config", config, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"),
            *("--telemetry", "False"),
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), **_ENVIRONMENT},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        await _until_it_listens(process, port, log_path)
        yield RunningProxy(url=f"http://127.0.0.1:{port}", pid=process.pid)
    finally:
        await _end(process)


def _configuration(provider_url: str) -> dict[str, object]:
    return {
        "model_list": [
            {
                "model_name": MODEL,
                "litellm_params": {"model": f"openai/{MODEL}", "api_base": f"{provider_url}/v1", "api_key": KEY},
            }
        ],
        "litellm_settings": {"telemetry": False, "turn_off_message_logging": True, "num_retries": 0},
        "general_settings": {"disable_spend_logs": True},
    }


async def _until_it_listens(process: asyncio.subprocess.Process, port: int, log_path: Path) -> None:
    try:
        async with asyncio.timeout(_READY_SECONDS):
            while process.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(_LOOK_SECONDS)
                else:
                    writer.close()
                    return
    except TimeoutError as late:
        raise ProxyDidNotStart(_last_words(log_path)) from late
    raise ProxyDidNotStart(_last_words(log_path))


async def _end(process: asyncio.subprocess.Process) -> None:
    """With whatever it has started: its processes are a group of their own."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(10.0):
                await process.wait()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def _last_words(log_path: Path) -> str:
    return log_path.read_text(errors="replace")[-2_000:]
