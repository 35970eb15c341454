"""`aif list`, `aif requests`, `aif templates`, `aif workers`, `aif insights`: what there is."""

from rich.console import Console
from rich.text import Text

from aif_console.exit_codes import DONE
from aif_console.gateway.answers import RequestAnswer
from aif_console.gateway.executions import ExecutionFilter, list_executions
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.reach import Reach
from aif_console.moments import local_time
from aif_console.reading.columns import Columns
from aif_console.reading.insights import rendered_insights
from aif_console.reading.json_output import print_json
from aif_console.reading.offer import rendered_template
from aif_console.reading.plain_text import dollars, plain
from aif_contracts.orders import ExecutionView
from aif_contracts.workers import ActionDescription, WorkerDescription

WORDS_SHOWN = 60
EXECUTION_HEADINGS = ("EXECUTION", "ORDERED", "STATUS", "DONE", "COST", "TEMPLATE")


async def run_list(
    wanted: ExecutionFilter, reach: Reach, console: Console, *, cursor: str | None, limit: int, as_json: bool
) -> int:
    """Executions, newest first."""
    async with Gateway(reach.url, reach.key) as gateway:
        page = await list_executions(gateway, wanted, cursor=cursor, limit=limit)
    if as_json:
        print_json(console, page)
        return DONE
    if not page.executions:
        console.print("no execution is like that" if wanted != ExecutionFilter() else "nothing was executed yet")
        return DONE
    console.print(Columns(EXECUTION_HEADINGS, (_execution_cells(each) for each in page.executions)), soft_wrap=True)
    if page.next_cursor is not None:
        console.print(Text(f"there are more: --cursor {page.next_cursor}", style="dim"), soft_wrap=True)
    return DONE


async def run_requests(reach: Reach, console: Console, *, status: str | None, limit: int, as_json: bool) -> int:
    """What was asked for, newest first, refused orders included."""
    async with Gateway(reach.url, reach.key) as gateway:
        page = await gateway.list_requests(status=status, limit=limit)
    if as_json:
        print_json(console, page)
        return DONE
    if not page.requests:
        console.print("nothing was ordered yet" if status is None else f"no request is {status}")
        return DONE
    for request in page.requests:
        console.print(Text(_line(request)), soft_wrap=True)
    if page.next_cursor is not None:
        console.print(Text(f"these are the newest {limit}; --limit shows more, up to 100", style="dim"))
    return DONE


async def run_templates(reach: Reach, console: Console, *, as_json: bool) -> int:
    """What can be ordered, with every parameter."""
    async with Gateway(reach.url, reach.key) as gateway:
        answer = await gateway.templates()
    if as_json:
        print_json(console, answer)
        return DONE
    for template in answer.templates:
        console.print(rendered_template(template))
    return DONE


async def run_workers(reach: Reach, console: Console, *, as_json: bool) -> int:
    """The worker processes that live now, and what they can do."""
    async with Gateway(reach.url, reach.key) as gateway:
        answer = await gateway.workers()
    if as_json:
        print_json(console, answer)
        return DONE
    if not answer.workers:
        console.print("no worker is alive: stages wait until one is")
        return DONE
    headings = ("WORKER", "INSTANCE", "VERSION", "SLOTS", "OFFERS")
    console.print(Columns(headings, (_worker_cells(each) for each in answer.workers)), soft_wrap=True)
    return DONE


async def run_insights(worker: str | None, period: str, reach: Reach, console: Console, *, as_json: bool) -> int:
    """Rolling figures of the workers, and what is recommended to change."""
    async with Gateway(reach.url, reach.key) as gateway:
        insights = await gateway.insights(worker, period)
    if as_json:
        print_json(console, insights)
    else:
        console.print(rendered_insights(insights))
    return DONE


def _execution_cells(execution: ExecutionView) -> tuple[str, ...]:
    return (
        execution.execution_id,
        local_time(execution.created_at)[5:16],
        execution.status.value,
        f"{execution.progress_percent:3d} %",
        dollars(execution.totals.cost_usd, is_complete=execution.totals.cost_is_complete),
        execution.template,
    )


def _worker_cells(worker: WorkerDescription) -> tuple[str, ...]:
    offers = [", ".join(_action_words(action) for action in worker.actions)]
    offers += [f"can {', '.join(worker.capabilities)}"] if worker.capabilities else []
    offers += [f"models {', '.join(worker.models)}"] if worker.models else []
    return (worker.worker_name, worker.instance_id, worker.version, str(worker.slots), "; ".join(offers))


def _action_words(action: ActionDescription) -> str:
    return f"{action.name} (may cost)" if action.paid else action.name


def _line(request: RequestAnswer) -> str:
    """One line, whole, for readers and for grep."""
    ordered_at = local_time(request.created_at)[5:16]
    percent = "" if request.execution is None else f"{request.execution.progress_percent} %"
    is_complete = request.totals is None or request.totals.cost_is_complete
    cost = "" if request.total_cost_usd is None else dollars(request.total_cost_usd, is_complete=is_complete)
    words = plain(
        request.problem.message if request.problem is not None else request.message or request.selected_template or ""
    )
    if len(words) > WORDS_SHOWN:
        words = words[: WORDS_SHOWN - 1] + "…"
    status = request.execution_status or request.status
    return f"{request.request_id}  {ordered_at}  {status:<19}  {percent:>5}  {cost:>9}  {words}".rstrip()
