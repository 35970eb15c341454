"""`aif pause`, `resume`, `approve`, `reject`, `cancel`, `skip-compensation`: changing the course of an execution."""

from rich.console import Console
from rich.text import Text

from aif_console.exit_codes import DONE
from aif_console.gateway import executions
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.reach import Reach
from aif_console.next_commands import next_words
from aif_console.reading.figures import kept_words
from aif_console.reading.json_output import print_json
from aif_console.reading.plain_text import plain
from aif_contracts.orders import ExecutionView


async def run_pause(some_id: str, reason: str | None, reach: Reach, console: Console, *, as_json: bool) -> int:
    """Nothing new is begun; attempts under way may end."""
    async with Gateway(reach.url, reach.key) as gateway:
        execution = await executions.pause(gateway, await gateway.execution_id_of(some_id), reason)
    if as_json:
        print_json(console, execution)
        return DONE
    _say(_state(execution), console)
    _say_next(execution, console)
    return DONE


async def run_resume(some_id: str, reach: Reach, console: Console, *, as_json: bool) -> int:
    """Go on after a pause, or try again what ended without success; says what is not paid for again."""
    async with Gateway(reach.url, reach.key) as gateway:
        resumed = await executions.resume(gateway, await gateway.execution_id_of(some_id))
    if as_json:
        print_json(console, resumed)
        return DONE
    execution = resumed.execution
    if resumed.kept.stages or execution.leg > 1:
        _say(kept_words(resumed.kept), console)
    _say(_state(execution), console)
    _say_next(execution, console)
    return DONE


async def run_decide(
    some_id: str,
    reach: Reach,
    console: Console,
    *,
    approved: bool,
    stage_id: str | None,
    comment: str | None,
    as_json: bool,
) -> int:
    """Agree, or not, with what a stage has made."""
    async with Gateway(reach.url, reach.key) as gateway:
        execution_id = await gateway.execution_id_of(some_id)
        execution = await executions.decide(gateway, execution_id, approved=approved, stage_id=stage_id, comment=comment)
    if as_json:
        print_json(console, execution)
        return DONE
    _say(f"{stage_id or 'the stage that waited'} is {'approved' if approved else 'rejected'}; {_state(execution)}", console)
    _say_next(execution, console)
    return DONE


async def run_skip_compensation(
    some_id: str, reach: Reach, console: Console, *, stage_id: str | None, comment: str | None, as_json: bool
) -> int:
    """Leave what a stage has done as it is, and go on."""
    async with Gateway(reach.url, reach.key) as gateway:
        execution_id = await gateway.execution_id_of(some_id)
        execution = await executions.skip_compensation(gateway, execution_id, stage_id=stage_id, comment=comment)
    if as_json:
        print_json(console, execution)
        return DONE
    _say(f"{stage_id or 'the stage that was left'} is not undone, and somebody has to look; {_state(execution)}", console)
    _say_next(execution, console)
    return DONE


async def run_cancel(some_id: str, reach: Reach, console: Console, *, as_json: bool) -> int:
    """End an execution; what it has spent stays counted."""
    async with Gateway(reach.url, reach.key) as gateway:
        request = await gateway.cancel(some_id)
    if as_json:
        print_json(console, request)
    else:
        _say(f"{request.request_id} is {request.status}", console)
    return DONE


def _state(execution: ExecutionView) -> str:
    return f"{execution.execution_id} is {execution.status.value}, {execution.progress_percent} %"


def _say_next(execution: ExecutionView, console: Console) -> None:
    for words in next_words(execution):
        _say(words, console)


def _say(words: str, console: Console) -> None:
    console.print(Text(plain(words)), soft_wrap=True)
