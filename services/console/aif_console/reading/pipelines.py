"""Pipelines for readers: mistakes in a document, lists, one in full."""

from collections.abc import Iterable, Sequence

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from aif_console.moments import local_time
from aif_console.reading.columns import Columns
from aif_console.reading.hanging import Hanging, rows
from aif_console.reading.offer import rendered_parameters
from aif_console.reading.plain_text import counted, plain
from aif_contracts.pipelines import PipelineDocument, PipelineView
from aif_pipelines.definition import AddStage, Approve, Fail, Pipeline, RetryStage, Rule, SkipStage, Stage
from aif_pipelines.loading import restore_pipeline
from aif_pipelines.mistakes import Mistake

HEADINGS = ("NAME", "VERSION", "OF", "STORED", "STAGES")


def rendered_mistakes(file_name: str, mistakes: Sequence[Mistake]) -> RenderableType:
    """Each with its place, as editors understand it, and its mend."""
    lines: list[RenderableType] = []
    for mistake in mistakes:
        place = file_name if mistake.line is None else f"{file_name}:{mistake.line}:{mistake.column}"
        said = Text.assemble((plain(mistake.path or "the document"), "bold"), plain(f": {mistake.message}"))
        lines += [Text(place, style="cyan", no_wrap=True, overflow="ignore"), Hanging(said, indent=2)]
        if mistake.mend:
            lines.append(Hanging(Text(plain(mistake.mend), style="dim"), marker="  -> "))
    lines.append(Text(counted(len(mistakes), "mistake"), style="red"))
    return Group(*lines)


def rendered_list(pipelines: Iterable[PipelineView]) -> RenderableType:
    return Columns(
        HEADINGS,
        (
            (
                each.name,
                each.version if each.offered else f"{each.version} (not offered)",
                owner_words(each.owner),
                local_time(each.created_at)[:10],
                ", ".join(each.stages),
            )
            for each in pipelines
        ),
    )


def owner_words(owner: str | None) -> str:
    return "everybody" if owner is None else owner


def rendered_pipeline(stored: PipelineDocument) -> RenderableType:
    """What it is, what an order may say, and its stages."""
    view = stored.pipeline
    head = rows(
        (
            ("Pipeline", f"{view.name} {view.version}"),
            ("Title", view.title),
            ("For", owner_words(view.owner) + ("" if view.offered else ", not in the list of what can be ordered")),
            ("Stored", local_time(view.created_at)),
            ("Digest", view.digest),
            ("About", view.description),
        )
    )
    try:
        pipeline = restore_pipeline(msgspec.json.encode(stored.document))
    except msgspec.ValidationError:
        # Of a newer factory: its fields say more than we know how to print.
        return Group(head, Text(msgspec.json.format(msgspec.json.encode(stored.document), indent=2).decode()))
    parts: list[RenderableType] = [head, Text("\nParameters", style="bold underline"), rendered_parameters(pipeline.parameters)]
    parts.append(Text("\nStages", style="bold underline"))
    for stage in pipeline.stages:
        parts += _stage(stage)
    if pipeline.outputs:
        parts += [Text("\nGives", style="bold underline"), rows(_outputs(pipeline))]
    return Group(*parts)


def _stage(stage: Stage) -> list[RenderableType]:
    does = f"{stage.worker} {stage.action}" if stage.worker else f"any worker that can do {stage.capability}"
    facts = [f"up to {counted(stage.retry.max_attempts, 'attempt')} of {stage.timeout_seconds:g} s"]
    facts += [f"after {', '.join(stage.depends_on)}"] if stage.depends_on else []
    facts += ["its failure is bearable"] if stage.optional else []
    facts += [f"undone by {stage.compensate.worker} {stage.compensate.action}"] if stage.compensate else []
    lines: list[RenderableType] = [Hanging(Text(f"{does}, {', '.join(facts)}"), marker=Text(f"  {stage.id}  ", style="cyan"))]
    if stage.when is not None:
        lines.append(Hanging(Text(plain(stage.when)), marker="    only when  "))
    lines += [Hanging(Text(plain(_rule_words(rule))), marker="    rule  ") for rule in stage.rules]
    return lines


def _rule_words(rule: Rule) -> str:
    match rule:
        case RetryStage():
            does = f"try again, {counted(rule.max_retries, 'time')} at most"
        case AddStage():
            does = f"add {rule.stage.id}: {rule.stage.worker or rule.stage.capability} {rule.stage.action or ''}".rstrip()
        case SkipStage():
            does = f"skip {rule.stage}"
        case Fail():
            does = f"fail: {rule.message}"
        case Approve():
            does = f"ask a person: {rule.message}"
    return f"{rule.condition}  ->  {does}"


def _outputs(pipeline: Pipeline) -> Iterable[tuple[str, str]]:
    return ((f"  {output.name}", f"{output.title or output.name}, from {output.stage}") for output in pipeline.outputs)
