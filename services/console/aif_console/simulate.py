"""`aif simulate`: what an order would cost and how long it would take, before it is placed."""

from pathlib import Path

from msgspec import Struct
from rich.console import Console
from rich.text import Text

from aif_console.exit_codes import DONE
from aif_console.gateway.gateway import Gateway, without_none
from aif_console.gateway.ids import checked_name
from aif_console.gateway.reach import Reach
from aif_console.parameters import SOURCE, SourceUploads, schema_of, typed
from aif_console.reading.columns import Columns
from aif_console.reading.hanging import Hanging, rows
from aif_console.reading.json_output import print_json
from aif_console.reading.plain_text import counted, dollars, milliseconds, plain
from aif_contracts.money import UsdText
from aif_contracts.simulation import Grounds, MsRange, Simulation, StageSimulation, UsdRange

HEADINGS = ("STAGE", "RUNS", "COST P10", "P50", "P90", "TIME P10", "P50", "P90", "FROM")
_GROUNDS = {
    Grounds.HISTORY: "own history",
    Grounds.SIMILAR: "own history, alike ones",
    Grounds.TOKEN_MODEL: "assumed tokens",
    Grounds.FREE: "costs nothing",
}


class SimulationWish(Struct, frozen=True, kw_only=True):
    template: str
    version: str | None
    source: Path | None
    texts: dict[str, str]
    """Parameters as text, by name."""
    max_cost_usd: UsdText | None


async def run_simulate(wish: SimulationWish, reach: Reach, console: Console, *, as_json: bool) -> int:
    """Ask, and tell. A document is uploaded, as for the order; nothing is ordered."""
    name = checked_name(wish.template)
    async with Gateway(reach.url, reach.key) as gateway:
        parameters = typed(wish.texts, await schema_of(gateway, name, wish.version)) if wish.texts else {}
        if wish.source is not None:
            parameters[SOURCE] = await SourceUploads(gateway, name, wish.version).id_of(wish.source, "--source")
        body = {
            "parameters": parameters,
            **without_none(template_version=wish.version, max_cost_usd=wish.max_cost_usd),
        }
        answer = await gateway.ask("POST", f"/api/kam/templates/{name}/simulate", Simulation, json=body)
    if as_json:
        print_json(console, answer)
        return DONE
    console.print(rows(_whole(answer)))
    console.print()
    console.print(Columns(HEADINGS, (_cells(stage) for stage in answer.stages)), soft_wrap=True)
    console.print()
    for words in answer.assumptions:
        console.print(Hanging(Text(plain(words), style="dim"), marker="- "))
    return DONE


def _whole(answer: Simulation) -> list[tuple[str, str]]:
    return [
        ("Template", f"{answer.template} {answer.template_version}"),
        ("Cost", f"{_usd(answer.cost_usd)}; {dollars(answer.bound_usd)} at most"),
        *_limit(answer),
        ("Time", _ms(answer.time_ms)),
        ("History", f"{counted(answer.samples, 'past execution')} looked at"),
    ]


def _limit(answer: Simulation) -> list[tuple[str, str]]:
    share = answer.over_limit_percent
    if share is None:
        return []
    return [
        ("Limit", f"{dollars(answer.bound_usd)} of the order's own; {share} % of the ways pass it, and such an order fails")
    ]


def _usd(cost: UsdRange) -> str:
    return f"{dollars(cost.p50)} in the middle, one in ten under {dollars(cost.p10)}, nine in ten under {dollars(cost.p90)}"


def _ms(time: MsRange) -> str:
    p10, p50, p90 = (milliseconds(each) for each in (time.p10, time.p50, time.p90))
    return f"{p50} in the middle, one in ten under {p10}, nine in ten under {p90}"


def _cells(stage: StageSimulation) -> tuple[str, ...]:
    cost, time = stage.cost_usd, stage.time_ms
    model = "" if stage.model is None else f" of {stage.model}"
    samples = f" ({stage.samples})" if stage.samples else ""
    return (
        stage.stage_id,
        f"{stage.runs_percent} %",
        *(dollars(each) for each in (cost.p10, cost.p50, cost.p90)),
        *(milliseconds(each) for each in (time.p10, time.p50, time.p90)),
        f"{_GROUNDS[stage.grounds]}{model}{samples}",
    )
