"""The workload as Restate has it: runs in an environment with its SDK, and knows nothing of ours.

The pipeline is a handler that calls a stage after another, each call in Restate's journal; the stages are another service, in a
process of their own.
"""

import asyncio
from typing import Any

import restate  # type: ignore[import-not-found]  # no dependency of ours

pipelines = restate.Service("Pipelines")
stages = restate.Service("Stages")


@stages.handler()  # type: ignore[untyped-decorator]
async def echo(_: restate.Context, parameters: dict[str, Any]) -> dict[str, Any]:
    """About as many bytes out as in."""
    return parameters


@stages.handler()  # type: ignore[untyped-decorator]
async def nap(_: restate.Context, parameters: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(parameters["seconds"])
    return parameters


STAGES = {"echo": echo, "nap": nap}


@pipelines.handler()  # type: ignore[untyped-decorator]
async def execute(context: restate.Context, order: dict[str, Any]) -> dict[str, Any]:
    """The output of the last stage; each step has that of the last stage of the step before it."""
    action = STAGES[order["action"]]
    parameters: dict[str, Any] = order["parameters"]
    for width in order["widths"]:
        calls = [context.service_call(action, parameters) for _ in range(width)]
        if width > 1:
            await restate.gather(*calls)
        parameters = await calls[-1]
    return parameters


pipelines_app = restate.app([pipelines])
stages_app = restate.app([stages])
