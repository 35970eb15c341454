"""The product keeps the house rules, and every rule finds what it is there to find."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from architecture.house_rules import (
    RULES,
    Finding,
    Rule,
    catchers_of_everything,
    findings_in,
    names_say_what_a_thing_is,
    no_float_money,
    no_traces_of_a_machine,
    only_outermost_loops_catch_everything,
    outermost_loops,
    patterns_reach_to_the_end,
    pure_rooms_have_no_clock_and_no_chance,
    sql_is_not_put_together,
    subjects_are_spelled_in_one_place,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_product_keeps_the_rule(rule: Rule) -> None:
    broken = [f"{path}:{finding.line}: {finding.what}" for path in _product_modules() for finding in _findings(rule, path)]

    assert not broken, f"{rule.__doc__}\n" + "\n".join(broken)


def test_no_tracked_file_has_traces_of_a_machine() -> None:
    texts = {path: text for path in _tracked_files() if (text := _text_of(ROOT / path)) is not None}

    broken = [f"{path}:{found.line}: {found.what}" for path, text in texts.items() for found in no_traces_of_a_machine(text)]

    assert not broken, f"{no_traces_of_a_machine.__doc__}\n" + "\n".join(broken)


def test_every_allowed_outermost_loop_still_exists() -> None:
    trees = {path: ast.parse((ROOT / path).read_text()) for path in _product_modules()}

    catching = {f"{path}::{name}" for path, tree in trees.items() for name, _ in catchers_of_everything(tree)}

    assert outermost_loops() - catching == set()


def test_the_import_rules_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]

    linted = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert linted.returncode == 0, linted.stdout + linted.stderr


BAD: list[tuple[Rule, str, str]] = [
    (no_float_money, "shared/aif_prices/book.py", "max_cost_usd: float = 0"),
    (no_float_money, "shared/aif_prices/book.py", "total_cost: float | None"),
    (no_float_money, "shared/aif_prices/book.py", "def charge(price: float) -> None: ..."),
    (no_float_money, "shared/aif_prices/book.py", "def total_cost(calls: list[str]) -> float: ..."),
    (no_float_money, "shared/aif_prices/book.py", "async def total_cost(calls: list[str]) -> float: ..."),
    (no_float_money, "shared/aif_prices/book.py", "x = float(call.cost_usd)"),
    (no_float_money, "shared/aif_prices/book.py", "x = float(row['price'])"),
    (no_float_money, "shared/aif_prices/book.py", "cost = 0.0"),
    (no_float_money, "shared/aif_prices/book.py", "Call(cost_usd=0.1)"),
    (no_float_money, "shared/aif_prices/book.py", "Decimal(0.1)"),
    (subjects_are_spelled_in_one_place, "services/kam/aif_kam/orders.py", "listen('aif.request.submit.*')"),
    (subjects_are_spelled_in_one_place, "services/kam/aif_kam/orders.py", "listen(f'aif.event.{client}.>')"),
    (pure_rooms_have_no_clock_and_no_chance, "shared/aif_pipelines/checks.py", "import time"),
    (pure_rooms_have_no_clock_and_no_chance, "shared/aif_contracts/ids.py", "from random import choice"),
    (pure_rooms_have_no_clock_and_no_chance, "shared/aif_contracts/ids.py", "identity = uuid4()"),
    (pure_rooms_have_no_clock_and_no_chance, "shared/aif_contracts/ids.py", "identity = uuid.uuid7()"),
    (
        pure_rooms_have_no_clock_and_no_chance,
        "services/orchestrator/aif_orchestrator/execution/step.py",
        "moment = datetime.now(UTC)",
    ),
    (names_say_what_a_thing_is, "shared/aif_runtime/utils.py", ""),
    (names_say_what_a_thing_is, "shared/aif_runtime/core/bus.py", ""),
    (names_say_what_a_thing_is, "shared/aif_runtime/string_helpers.py", ""),
    (names_say_what_a_thing_is, "services/kam/aif_kam/budget.py", "class BudgetManager: ..."),
    (names_say_what_a_thing_is, "services/kam/aif_kam/budget.py", "class BudgetService: ..."),
    (sql_is_not_put_together, "services/kam/aif_kam/store.py", "f'SELECT * FROM {table}'"),
    (sql_is_not_put_together, "services/kam/aif_kam/store.py", "'DELETE FROM requests WHERE id = ' + request_id"),
    (sql_is_not_put_together, "services/kam/aif_kam/store.py", "'UPDATE requests SET status = %s' % status"),
    (sql_is_not_put_together, "services/kam/aif_kam/store.py", "'INSERT INTO requests VALUES ({})'.format(row)"),
    (only_outermost_loops_catch_everything, "services/kam/aif_kam/orders.py", "try: f()\nexcept Exception: pass"),
    (only_outermost_loops_catch_everything, "services/kam/aif_kam/orders.py", "try: f()\nexcept: pass"),
    (only_outermost_loops_catch_everything, "services/kam/aif_kam/orders.py", "try: f()\nexcept (OSError, Exception): pass"),
    (only_outermost_loops_catch_everything, "services/kam/aif_kam/orders.py", "with suppress(Exception): f()"),
    (patterns_reach_to_the_end, "shared/aif_contracts/orders.py", "Name = Annotated[str, Meta(pattern='^[a-z]+$')]"),
    (patterns_reach_to_the_end, "shared/aif_contracts/orders.py", "Name = Annotated[str, Meta(pattern='^[a-z]+')]"),
    (patterns_reach_to_the_end, "shared/aif_contracts/usage.py", "MONTH_PATTERN = '^[0-9]+$'"),
]

GOOD: list[tuple[Rule, str, str]] = [
    (no_float_money, "shared/aif_prices/book.py", "cost_usd: Decimal\nlatency_seconds: float\nuse(quality_score=0.5)"),
    (no_float_money, "shared/aif_prices/book.py", "def cost_of(price: Decimal, share: float) -> Decimal: ..."),
    (no_float_money, "shared/aif_prices/book.py", "histogram.observe(float(totals.cost_usd))"),
    (subjects_are_spelled_in_one_place, "shared/aif_contracts/subjects.py", "ALL = 'aif.event.>'"),
    (subjects_are_spelled_in_one_place, "shared/aif_contracts/orders.py", "'aif.work.a carries packets.'"),
    (subjects_are_spelled_in_one_place, "services/kam/aif_kam/orders.py", "kind = 'aif.step_completed'; other = f'aif.{kind}'"),
    (
        subjects_are_spelled_in_one_place,
        "services/kam/aif_kam/orders.py",
        "x = 'aif.work.y'  # house-rule: subjects_are_spelled_in_one_place, printed for people",
    ),
    (pure_rooms_have_no_clock_and_no_chance, "services/kam/aif_kam/wiring.py", "import time\nnow = datetime.now(UTC)"),
    (pure_rooms_have_no_clock_and_no_chance, "shared/aif_pipelines/checks.py", "import uuid\nfrom datetime import timedelta"),
    (names_say_what_a_thing_is, "shared/aif_runtime/database.py", "class EventData: ...\nclass DataFolderInUse: ..."),
    (sql_is_not_put_together, "shared/aif_runtime/migrations.py", "f'CREATE SCHEMA {schema}'"),
    (sql_is_not_put_together, "services/kam/aif_kam/store.py", "fetch('SELECT 1'); f'Select one of {these}'"),
    (only_outermost_loops_catch_everything, "services/kam/aif_kam/orders.py", "try: f()\nexcept OSError: pass"),
    (only_outermost_loops_catch_everything, "services/kam/aif_kam/orders.py", "try: f()\nexcept BaseException:\n    raise"),
    (patterns_reach_to_the_end, "shared/aif_contracts/orders.py", r"Name = Annotated[str, Meta(pattern=r'^[a-z]+$(?!\n)')]"),
    (patterns_reach_to_the_end, "shared/aif_pipelines/definition.py", r"Name = Annotated[str, Meta(pattern=r'^[a-z]+\Z')]"),
    (patterns_reach_to_the_end, "services/kam/aif_kam/orders.py", "SHAPE = re.compile('^[a-z]+$')"),
]


@pytest.mark.parametrize(("rule", "path", "source"), BAD)
def test_a_rule_finds_what_breaks_it(rule: Rule, path: str, source: str) -> None:
    findings = list(findings_in(rule, PurePosixPath(path), source))

    assert findings


@pytest.mark.parametrize(("rule", "path", "source"), GOOD)
def test_a_rule_leaves_good_code_alone(rule: Rule, path: str, source: str) -> None:
    findings = list(findings_in(rule, PurePosixPath(path), source))

    assert findings == []


def test_every_rule_is_shown_to_find_something_and_to_leave_something_alone() -> None:
    assert {rule for rule, _, _ in BAD} == set(RULES)
    assert {rule for rule, _, _ in GOOD} == set(RULES)


@pytest.mark.parametrize("line", ["see /wo" + "rk/main", "cd /ro" + "ot/x", "'/t" + "mp/aif'", "https://py" + "pi.org/simple"])
def test_traces_of_a_machine_are_found(line: str) -> None:
    assert [finding.line for finding in no_traces_of_a_machine(f"first line\n{line}")] == [2]


@pytest.mark.parametrize("line", ["tmpfs: /tmp", "shared/work/packets.py", "/api/kam/requests", "/healthy/root", "nats:2.15.1"])
def test_ordinary_text_has_no_traces_of_a_machine(line: str) -> None:
    assert list(no_traces_of_a_machine(line)) == []


def _findings(rule: Rule, path: PurePosixPath) -> Iterator[Finding]:
    return findings_in(rule, path, (ROOT / path).read_text())


def _product_modules() -> list[PurePosixPath]:
    files = [file for room in ("shared", "services") for file in (ROOT / room).rglob("*.py")]
    return sorted(PurePosixPath(file.relative_to(ROOT)) for file in files)


def _tracked_files() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.split("\0") if line]


def _text_of(file: Path) -> str | None:
    """None for what is not text, and for a file that is deleted but not yet committed."""
    try:
        return file.read_bytes().decode()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
