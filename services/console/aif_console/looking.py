"""`aif show`, `aif list`, `aif cancel`, `aif templates`, `aif insights`: what there is; only `cancel` changes it."""

import msgspec
from rich.console import Console
from rich.text import Text

from aif_console.exit_codes import DONE
from aif_console.gateway.answers import RequestAnswer
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.reach import Reach
from aif_console.reading.figures import rendered_stages, rendered_totals
from aif_console.reading.hanging import rows
from aif_console.reading.insights import rendered_insights
from aif_console.reading.plain_text import dollars, plain
from aif_contracts.orders import ExecutionView, TemplateView

WORDS_SHOWN = 60


async def run_show(some_id: str, reach: Reach, console: Console, *, as_json: bool) -> int:
    """One execution with its stages and figures."""
    async with Gateway(reach.url, reach.key) as gateway:
        execution = await gateway.execution_of(some_id)
    if as_json:
        _print_json(console, execution)
    else:
        _print_execution(execution, console)
    return DONE


async def run_list(reach: Reach, console: Console, *, status: str | None, limit: int, as_json: bool) -> int:
    """The newest requests."""
    async with Gateway(reach.url, reach.key) as gateway:
        page = await gateway.list_requests(status=status, limit=limit)
    if as_json:
        _print_json(console, page)
        return DONE
    if not page.requests:
        console.print("nothing was ordered yet" if status is None else f"no request is {status}")
        return DONE
    for request in page.requests:
        console.print(Text(_line(request)), soft_wrap=True)
    if page.next_cursor is not None:
        console.print(Text(f"these are the newest {limit}; --limit shows more, up to 100", style="dim"))
    return DONE


async def run_cancel(some_id: str, reach: Reach, console: Console, *, as_json: bool) -> int:
    """End an execution; what it has spent stays counted."""
    async with Gateway(reach.url, reach.key) as gateway:
        request = await gateway.cancel(some_id)
    if as_json:
        _print_json(console, request)
    else:
        console.print(f"{request.request_id} is {request.status}", soft_wrap=True)
    return DONE


async def run_templates(reach: Reach, console: Console, *, as_json: bool) -> int:
    """What can be ordered, with every parameter."""
    async with Gateway(reach.url, reach.key) as gateway:
        answer = await gateway.templates()
    if as_json:
        _print_json(console, answer)
        return DONE
    for template in answer.templates:
        _print_template(template, console)
    return DONE


async def run_insights(worker: str | None, period: str, reach: Reach, console: Console, *, as_json: bool) -> int:
    """Rolling figures of the workers, and what is recommended to change."""
    async with Gateway(reach.url, reach.key) as gateway:
        insights = await gateway.insights(worker, period)
    if as_json:
        _print_json(console, insights)
    else:
        console.print(rendered_insights(insights))
    return DONE


def _print_json(console: Console, answer: msgspec.Struct) -> None:
    console.out(msgspec.json.encode(answer).decode(), highlight=False)


def _print_execution(execution: ExecutionView, console: Console) -> None:
    why = f": {execution.failure_code}: {execution.failure_message}" if execution.failure_code else ""
    console.print(
        rows(
            (
                ("Execution", execution.execution_id),
                ("Request", execution.request_id or ""),
                ("Template", f"{execution.template} {execution.template_version}"),
                ("Status", f"{execution.status.value}, {execution.progress_percent} %{why}"),
                ("Ordered", execution.created_at),
                ("Ended", execution.completed_at or ""),
                ("Gave", ", ".join(f"{item.title} ({item.deliverable_id})" for item in execution.deliverables)),
            )
        )
    )
    console.print()
    console.print(rendered_stages(execution))
    console.print()
    console.print(rendered_totals(execution))


def _print_template(template: TemplateView, console: Console) -> None:
    console.print(Text(f"{template.name} {template.version}", style="bold"))
    console.print(rows((("", template.description),)))
    properties = template.parameters.get("properties", {})
    required = set(template.parameters.get("required", ()))
    console.print(
        rows(
            (f"  {name}", _parameter_words(schema, is_required=name in required))
            for name, schema in properties.items()
            if isinstance(schema, dict)
        )
    )
    console.print()


def _parameter_words(schema: dict[str, object], *, is_required: bool) -> str:
    kind = str(schema.get("type", "always " + str(schema["const"]) if "const" in schema else "anything"))
    low, high = schema.get("minimum"), schema.get("maximum")
    span = f" {low} to {high}" if low is not None and high is not None else ""
    default = f", default {schema['default']}" if "default" in schema else ""
    return f"{kind}{span}{', required' if is_required else default}. {schema.get('description', '')}"


def _line(request: RequestAnswer) -> str:
    """One line, whole, for readers and for grep."""
    ordered_at = request.created_at[5:16].replace("T", " ")
    percent = "" if request.execution is None else f"{request.execution.progress_percent} %"
    cost = "" if request.total_cost_usd is None else dollars(request.total_cost_usd)
    words = plain(
        request.problem.message if request.problem is not None else request.message or request.selected_template or ""
    )
    if len(words) > WORDS_SHOWN:
        words = words[: WORDS_SHOWN - 1] + "…"
    return f"{request.request_id}  {ordered_at}  {request.status:<19}  {percent:>5}  {cost:>9}  {words}".rstrip()
