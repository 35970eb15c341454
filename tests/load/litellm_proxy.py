"""The LiteLLM proxy as a peer of the door: installed by whoever wants to compare, never a dependency of ours.

One worker process, without logs, telemetry, database or keys of its own, before the same provider.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from aif_console.embedded.ports import chosen_port
from load.door_askers import KEY, MODEL
from load.foreign import running_listener

VARIABLE = "LITELLM"
_ENVIRONMENT = {
    "LITELLM_LOG": "ERROR",
    # Its own list of prices, without asking the network for a newer one.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    # Who asks is checked by neither side of the comparison.
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}


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
    config = folder / "litellm.yaml"
    # JSON is YAML, too.
    config.write_bytes(msgspec.json.encode(_configuration(provider_url)))
    port = chosen_port(folder / "port")
    settings = ("--host", "127.0.0.1", "--port", str(port), "--num_workers", "1", "--telemetry", "False")
    command = [str(program), "--config", str(config), *settings]
    async with running_listener("litellm", command, port=port, folder=folder, environment=_ENVIRONMENT) as pid:
        yield RunningProxy(url=f"http://127.0.0.1:{port}", pid=pid)


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
