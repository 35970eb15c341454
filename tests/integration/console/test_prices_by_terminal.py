"""`aif prices`, `aif reprice` and `aif simulate` against a stand-in of the gateway."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

import aif_prices
from aif_contracts.metering import CallOutcome, ProviderCall, Purpose, Tokens
from aif_contracts.reconciliation import BookedCall, BookedCallPage
from aif_contracts.simulation import Grounds, MsRange, Simulation, StageSimulation, UsdRange
from support.gateway_stand_in import Terminal, gateway_stand_in, stored_pipeline

CONFIG = "GET /api/admin/config/prices"
CALLS = "GET /api/admin/calls"
SIMULATE = "POST /api/kam/templates/bees/simulate"
NOT_SET = {"key": "prices", "value": None, "is_set": False, "description": "", "version": 0}
HALF = {"prices": [{"provider": "openai", "model": "gpt-4o-mini", "rates": {"input": "0.075", "output": "0.3"}}]}


@pytest.fixture
def aif(capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with gateway_stand_in() as gateway:
        gateway.answers_with(CONFIG, NOT_SET)
        yield Terminal(gateway, capsys)


def call(number: int, **changes: Any) -> BookedCall:
    given: dict[str, Any] = {
        "call_key": f"exec_1.one.1.{number}",
        "execution_id": "exec_1",
        "client_id": "acme",
        "stage_id": "one",
        "attempt": 1,
        "worker_name": "maker",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "purpose": Purpose.FIRST_TRY,
        "outcome": CallOutcome.ANSWERED,
        "tokens": Tokens(prompt_tokens=1_000_000, completion_tokens=100_000, total_tokens=1_100_000),
        "cost_usd": "0.21",
    }
    return BookedCall(call=ProviderCall(**{**given, **changes}), booked_at="2026-05-01T09:00:00.000Z")


def page(*calls: BookedCall, cursor: str | None = None) -> Any:
    return json.loads(msgspec.json.encode(BookedCallPage(calls=calls, next_cursor=cursor)))


def written(folder: Path, content: Any) -> str:
    file = folder / "list.json"
    file.write_text(json.dumps(content))
    return str(file)


def test_the_shipped_prices_are_listed_without_any_factory(aif: Terminal) -> None:
    said = aif("prices", "--provider", "openai", "--on", "2026-11-21")

    assert said.code == 0
    line = next(line for line in said.out.splitlines() if " gpt-4o-mini " in line)
    assert line.split() == ["openai", "gpt-4o-mini", "0.15", "0.075", "0.6"]
    assert aif.gateway.asked == []


def test_a_model_is_shown_with_its_source_and_version_under_a_dated_name_too(aif: Terminal) -> None:
    said = aif("prices", "show", "gpt-4o-mini-2024-07-18", "--json", "--on", "2026-11-21")

    found = json.loads(said.out)["prices"][0]
    assert (found["provider"], found["model"], found["version"]) == (
        "openai",
        "gpt-4o-mini",
        "openai/gpt-4o-mini@read-2026-11-21",
    )
    assert found["rates"] == {"input": "0.15", "cache_read": "0.075", "output": "0.6"}
    assert "genai-prices" in found["source"]


def test_a_model_without_a_price_is_no_model_that_costs_nothing(aif: Terminal) -> None:
    said = aif("prices", "show", "gpt-4o-mni")

    assert said.code == 2
    assert "has no price" in said.err
    assert "gpt-4o-mini" in said.err


def test_the_factorys_own_prices_stand_before_the_shipped_ones(aif: Terminal) -> None:
    aif.gateway.answers_with(CONFIG, {**NOT_SET, "value": HALF, "is_set": True})

    said = aif("prices", "show", "gpt-4o-mini", "--effective", "--json")

    assert json.loads(said.out)["prices"][0]["source"] == "operator"
    assert aif.gateway.last(CONFIG).headers["X-API-Key"] == "operator-key"


def test_a_difference_names_what_was_added_removed_and_changed_with_percent(aif: Terminal, tmp_path: Path) -> None:
    models = [
        {"model": "nova-2", "versions": [{"audio_hour": "0.3225"}]},
        {"model": "nova-4", "versions": [{"audio_hour": "0.3"}]},
    ]
    head = {"provider": "deepgram", "currency": "USD", "per_tokens": 1_000_000, "source": "test", "read_on": "2026-11-21"}

    said = aif("prices", "diff", written(tmp_path, {**head, "models": models}))

    assert said.code == 2
    assert "changed  deepgram nova-2: audio_hour 0.258 -> 0.3225 (+25.0 %)" in said.out
    assert "removed  deepgram nova-3: audio_hour 0.258" in said.out
    assert "added    deepgram nova-4: audio_hour 0.3" in said.out
    assert "6 models: 1 added, 4 removed, 1 changed" in said.out


def test_the_same_list_differs_in_nothing(aif: Terminal) -> None:
    said = aif("prices", "diff", str(Path(aif_prices.__file__).parent / "data" / "anthropic.json"))

    assert (said.code, said.out.startswith("nothing differs")) == (0, True)


def test_own_prices_that_are_wrong_name_their_field(aif: Terminal, tmp_path: Path) -> None:
    wrong = {"prices": [{"provider": "openai", "model": "m", "rates": {"input": 0.15}}]}

    said = aif("prices", "diff", written(tmp_path, wrong))

    assert said.code == 2
    assert "prices[0].rates.input" in said.err


def test_repricing_reads_every_page_and_tells_the_change_by_model(aif: Terminal, tmp_path: Path) -> None:
    aif.gateway.answers_with(
        CALLS,
        page(call(1), call(2, cost_usd=None), cursor="next"),
        page(call(3), call(4, provider="acme", model="m"), call(5, provider="local", model="l", tokens=Tokens(), cost_usd="0")),
    )

    said = aif("reprice", "--dry-run", "--from", "2026-05-01", "--list", written(tmp_path, HALF), "--json")

    report = json.loads(said.out)
    assert said.code == 0
    assert [(each["provider"], each["calls"], each["without_price"], each["unknown"]) for each in report["models"]] == [
        ("acme", 0, 1, 0),
        ("openai", 2, 0, 1),
    ]
    assert (report["booked_usd"], report["repriced_usd"], report["change_usd"]) == ("0.42", "0.21", "-0.21")
    assert Decimal(report["models"][0]["without_price_usd"]) == Decimal("0.21")
    assert aif.gateway.asked[-1].query == {"cursor": "next", "limit": "500", "from": "2026-05-01T00:00:00.000Z"}
    assert {each.method for each in aif.gateway.asked} == {"GET"}


def test_repricing_leaves_out_what_is_free_here_and_has_no_price_anywhere(aif: Terminal) -> None:
    rules = call(1, provider="local_workflow", model="local-rules-1", tokens=Tokens(), characters=400, cost_usd="0")
    own_model = call(2, provider="openai_compatible", model="llama3.2", cost_usd="0")
    aif.gateway.answers_with(CALLS, page(rules, own_model))

    said = aif("reprice", "--dry-run")

    assert (said.code, said.out) == (0, "no call in that time has cost anything\n")


def test_repricing_for_a_reader_says_what_changes_and_that_nothing_did(aif: Terminal, tmp_path: Path) -> None:
    aif.gateway.answers_with(CALLS, page(call(1)))

    said = aif("reprice", "--dry-run", "--list", written(tmp_path, HALF))

    assert "$0.21" in said.out
    assert "-$0.105 (-50.0 %)" in said.out
    assert "Nothing was changed" in said.out


def test_one_model_for_everything_is_charged_for_answers_and_what_failed_beside_them_saves_nothing(aif: Terminal) -> None:
    aif.gateway.answers_with(
        CALLS,
        page(
            call(1),
            call(2, outcome=CallOutcome.REJECTED),
            call(3, cost_usd=None, outcome=CallOutcome.IN_DOUBT, tokens=Tokens()),
            call(4, cost_usd="0", outcome=CallOutcome.CACHED, tokens=Tokens()),
            call(5, provider="deepgram", model="nova-3", audio_ms=60_000, tokens=Tokens()),
        ),
    )

    said = aif("reprice", "--dry-run", "--as", "openai/gpt-4o", "--json")

    report = json.loads(said.out)
    assert [(each["model"], each["calls"], each["unknown"]) for each in report["models"]] == [("gpt-4o-mini", 2, 1)]
    assert (report["booked_usd"], report["repriced_usd"], report["change_usd"]) == ("0.42", "3.5", "3.08")


def test_a_model_for_everything_has_a_price(aif: Terminal) -> None:
    said = aif("reprice", "--dry-run", "--as", "gpt-4o")

    assert said.code == 2
    assert "--as: nobody knows a price of 'gpt-4o'" in said.err


def test_repricing_is_only_ever_a_look(aif: Terminal) -> None:
    said = aif("reprice")

    assert (said.code, "--dry-run" in said.err) == (2, True)
    assert aif.gateway.asked == []


def test_a_simulation_is_told_with_its_ranges_grounds_and_assumptions(aif: Terminal, tmp_path: Path) -> None:
    cost, time = UsdRange(p10="0.001", p50="0.002", p90="0.004"), MsRange(p10=900, p50=2_000, p90=40_000)
    stage = StageSimulation(
        stage_id="course",
        worker_name="content_granulator",
        action="structure_course",
        grounds=Grounds.TOKEN_MODEL,
        samples=0,
        runs_percent=100,
        cost_usd=cost,
        time_ms=time,
        model="gpt-4o-mini",
    )
    answer = Simulation(
        template="bees",
        template_version="1.0.0",
        cost_usd=cost,
        time_ms=time,
        bound_usd="2",
        samples=3,
        stages=(stage,),
        assumptions=("Prices stay as they were.",),
        over_limit_percent=40,
    )
    aif.gateway.answers_with("GET /api/kam/templates", {"templates": []})
    aif.gateway.answers_with("GET /api/kam/pipelines/bees", stored_pipeline("bees", "1.0.0", {}))
    aif.gateway.answers_with("POST /api/kam/sources", {"source_id": "src_1", "title": "Bees", "words": 9, "headings": 1})
    aif.gateway.answers_with(SIMULATE, json.loads(msgspec.json.encode(answer)))
    source = tmp_path / "bees.md"
    source.write_text("# Bees")

    said = aif("simulate", "bees", "--source", str(source), "--param", "granularityLevel=4", "--max-cost", "0.50")

    assert said.code == 0
    assert "$0.002 in the middle, one in ten under $0.001, nine in ten under $0.004; $2.00 at most" in " ".join(
        said.out.split()
    )
    assert "Limit $2.00 of the order's own; 40 % of the ways pass it, and such an order fails" in " ".join(said.out.split())
    assert "assumed tokens of gpt-4o-mini" in said.out
    assert "- Prices stay as they were." in said.out
    assert aif.gateway.last(SIMULATE).json == {
        "parameters": {"granularityLevel": 4, "source": "src_1"},
        "max_cost_usd": "0.5",
    }
