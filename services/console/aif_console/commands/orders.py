"""What concerns orders: `aif order`, `aif watch`."""

from pathlib import Path

import rich_click as click

from aif_console.commands.running import AT, MAX_COST, PARAMS, URGENCY, VERSION, Where, asks_a_factory, finish, output_of

_OUT = click.option("--out", type=click.Path(dir_okay=False), help="Save the deliverable here instead of the data folder.")


@click.command()
@click.argument("kind", metavar="[course|quiz|NAME]", required=False)
@click.option("--pipeline", metavar="NAME", help="The same as NAME: any other pipeline; `aif templates` shows them.")
@click.option("--source", type=click.Path(), help="Document .md .txt .html .pdf .docx, recording .wav .mp3 .ogg .flac .m4a")
@click.option("--topic", help="What it is about; without a source this needs a language model.")
@click.option("--level", type=int, help="How finely to divide the material, 1 to 5.")
@click.option("--audience", help="Whom it is for, in a few words.")
@click.option("--questions", type=int, help="How many questions (quiz), 1 to 50.")
@PARAMS
@URGENCY
@AT
@MAX_COST
@VERSION
@click.option(
    "--watch/--no-watch", default=None, help="Follow it to the end and print what came out; so it is unless --at is given."
)
@_OUT
@asks_a_factory
def order(
    kind: str | None,
    pipeline: str | None,
    source: str | None,
    topic: str | None,
    level: int | None,
    audience: str | None,
    questions: int | None,
    params: tuple[str, ...],
    urgency: str,
    at: str | None,
    max_cost: str | None,
    version: str | None,
    watch: bool | None,
    out: str | None,
    as_json: bool,
    where: Where,
) -> None:
    """Order a course or a quiz from a document or a topic, or what any other pipeline makes."""
    from aif_console.cost_limits import cost_limit
    from aif_console.moments import coming_moment
    from aif_console.orders import OrderWish, run_order, template_of
    from aif_console.parameters import named_texts
    from aif_runtime.clock import SystemClock

    wish = OrderWish(
        template=template_of(kind, pipeline),
        source=Path(source) if source else None,
        topic=topic,
        level=level,
        audience=audience,
        questions=questions,
        texts=named_texts(params),
        urgency=urgency,
        start_at=coming_moment(at, "--at", SystemClock().now()),
        max_cost_usd=cost_limit(max_cost, "--max-cost"),
        version=version,
    )
    finish(run_order(wish, where.reach(), output_of(as_json, out), watch=at is None if watch is None else watch))


@click.command()
@click.argument("some_id", metavar="ID")
@_OUT
@asks_a_factory
def watch(some_id: str, out: str | None, as_json: bool, where: Where) -> None:
    """Follow a request or an execution to its end, and print what came out."""
    from aif_console.orders import run_watch

    finish(run_watch(some_id, where.reach(), output_of(as_json, out)))
