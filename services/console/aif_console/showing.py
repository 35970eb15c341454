"""`aif show`: one execution and its history."""

import msgspec
from msgspec import Struct
from rich.console import Console, RenderableType
from rich.text import Text

from aif_console.cost_limits import limit_words
from aif_console.exit_codes import DONE
from aif_console.gateway.answers import History
from aif_console.gateway.executions import all_attempts, all_calls, history_of
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.reach import Reach
from aif_console.moments import local_time
from aif_console.next_commands import next_commands
from aif_console.reading.figures import rendered_stages, rendered_totals
from aif_console.reading.hanging import rows
from aif_console.reading.history import attempts_in_full, attempts_in_short, calls_in_full, events_in_full, events_in_short
from aif_console.reading.json_output import print_json
from aif_contracts.money import UsdText
from aif_contracts.orders import ExecutionView


class ShowWish(Struct, frozen=True, kw_only=True):
    """Which parts of the history are wanted in full. None of them is the overview."""

    events: bool = False
    attempts: bool = False
    calls: bool = False

    @property
    def is_overview(self) -> bool:
        return not (self.events or self.attempts or self.calls)


async def run_show(some_id: str, wish: ShowWish, reach: Reach, console: Console, *, as_json: bool) -> int:
    """One execution with what happened in it."""
    async with Gateway(reach.url, reach.key) as gateway:
        history = await history_of(gateway, await gateway.execution_id_of(some_id))
        if history.truncated:
            history = await _completed(gateway, history, wish)
        if as_json:
            print_json(console, history)
            return DONE
        limit = await _ordered_limit(gateway, history.execution)
    _print_head(history, limit, console)
    if wish.is_overview:
        _print_overview(history, console)
    else:
        _print_in_full(history, wish, console)
    return DONE


async def _completed(gateway: Gateway, history: History, wish: ShowWish) -> History:
    """With every attempt and every call, where these are wanted."""
    execution_id = history.execution.execution_id
    if wish.attempts:
        history = msgspec.structs.replace(history, attempts=await all_attempts(gateway, execution_id))
    if wish.calls:
        history = msgspec.structs.replace(history, calls=await all_calls(gateway, execution_id))
    return history


async def _ordered_limit(gateway: Gateway, execution: ExecutionView) -> UsdText | None:
    """What its order says; the execution itself does not tell that from the operator's limit."""
    return None if execution.request_id is None else (await gateway.request(execution.request_id)).max_cost_usd


def _print_head(history: History, limit: UsdText | None, console: Console) -> None:
    execution = history.execution
    why = f": {execution.failure_code}: {execution.failure_message}" if execution.failure_code else ""
    console.print(
        rows(
            (
                ("Execution", execution.execution_id + (f", leg {execution.leg}" if execution.leg > 1 else "")),
                ("Request", execution.request_id or ""),
                ("Template", f"{execution.template} {execution.template_version}"),
                ("Status", f"{execution.status.value}, {execution.progress_percent} %{why}"),
                ("Ordered", f"{local_time(execution.created_at)}, priority {execution.priority.value}"),
                ("Starts", local_time(execution.start_at)),
                ("Limit", "" if limit is None else limit_words(limit, execution, history.attempts)),
                ("Ended", local_time(execution.completed_at)),
                ("Not undone", ", ".join(execution.not_undone)),
                ("Gave", ", ".join(f"{item.title} ({item.deliverable_id})" for item in execution.deliverables)),
                ("Next", "; ".join(next_commands(execution))),
            )
        )
    )


def _print_overview(history: History, console: Console) -> None:
    _print_part("Stages", rendered_stages(history.execution), console)
    if history.attempts:
        _print_part("Attempts", attempts_in_short(history.attempts), console)
    if history.events:
        _print_part("Events", events_in_short(history.events), console)
    _print_part("Totals", rendered_totals(history.execution), console)


def _print_in_full(history: History, wish: ShowWish, console: Console) -> None:
    if wish.attempts:
        _print_part(f"Attempts: {len(history.attempts)}", attempts_in_full(history.attempts), console)
    if wish.calls:
        _print_part(f"Provider calls: {len(history.calls)}", calls_in_full(history.calls), console)
    if wish.events:
        _print_part(f"Events: {len(history.events)}", events_in_full(history.events), console)
        if history.truncated:
            last = history.execution.last_sequence
            console.print(Text(f"there are {last} in all; aif watch {history.execution.execution_id} tells every one"))


def _print_part(title: str, part: RenderableType, console: Console) -> None:
    console.print()
    console.print(Text(title, style="bold underline"))
    console.print(part, soft_wrap=True)
