"""House rules that no general linter knows. Each is a small check of one module's syntax tree or of one file's text; its
docstring tells the bug that it prevents. A line that has to break one says so: `# house-rule: <name of the rule> <reason>`.
"""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from msgspec import Struct

OUTERMOST_LOOPS = Path(__file__).with_name("outermost_loops.txt")


class Finding(Struct, frozen=True):
    line: int
    what: str


Rule = Callable[[PurePosixPath, ast.Module], Iterator[Finding]]

MONEY_NAME = re.compile(r"(^|_)(usd|cost|price|cost_usd|price_usd)$")


def no_float_money(path: PurePosixPath, tree: ast.Module) -> Iterator[Finding]:
    """Binary fractions cannot hold a tenth of a cent: sums of float money drift, and a budget is passed unseen."""
    measured = _given_to_a_metric(tree)
    for node in ast.walk(tree):
        match node:
            case ast.AnnAssign(target=target, annotation=kind) if _is_money(target) and _mentions_float(kind):
                yield Finding(node.lineno, "money is Decimal or UsdText, not float")
            case ast.arg(arg=name, annotation=ast.expr() as kind) if MONEY_NAME.search(name) and _mentions_float(kind):
                yield Finding(node.lineno, f"{name} is money: Decimal or UsdText, not float")
            case ast.FunctionDef(name=name, returns=kind) | ast.AsyncFunctionDef(name=name, returns=kind):
                if kind is not None and MONEY_NAME.search(name) and _mentions_float(kind):
                    yield Finding(node.lineno, f"{name} returns money: Decimal, not float")
            case ast.Call(func=ast.Name(id="float"), args=[argument]) if _is_money(argument) and node not in measured:
                yield Finding(node.lineno, "float(...) of money")
            case ast.Call(func=ast.Name(id="Decimal"), args=[ast.Constant(value=float())]):
                yield Finding(node.lineno, "Decimal of a float keeps the float's error; write the number as a string")
            case ast.Assign(targets=[target], value=ast.Constant(value=float())) if _is_money(target):
                yield Finding(node.lineno, "a float given to a name of money")
            case ast.keyword(arg=str(name), value=ast.Constant(value=float())) if MONEY_NAME.search(name):
                yield Finding(node.value.lineno, f"a float given to {name}")


SUBJECT = re.compile(r"^aif\.(request|orchestrator|classifier|work|control|report|usage|event|performance|insight|dead)\.")


def subjects_are_spelled_in_one_place(path: PurePosixPath, tree: ast.Module) -> Iterator[Finding]:
    """A subject spelled twice is changed once: the publisher moves, the subscriber waits for ever, and nothing fails."""
    if path == PurePosixPath("shared/aif_contracts/subjects.py"):
        return
    for node in _strings_that_are_not_docstrings(tree):
        if isinstance(node.value, str) and SUBJECT.match(node.value):
            yield Finding(node.lineno, f"{node.value!r} is a NATS subject; take it from aif_contracts.subjects")


PURE_ROOMS = ("shared/aif_contracts", "shared/aif_pipelines", "services/orchestrator/aif_orchestrator/execution")
IMPURE_MODULES = {"time", "random", "secrets", "asyncio", "threading", "socket"}
CLOCK_AND_CHANCE = {"now", "utcnow", "today", "urandom", "uuid1", "uuid4", "uuid6", "uuid7"}


def pure_rooms_have_no_clock_and_no_chance(path: PurePosixPath, tree: ast.Module) -> Iterator[Finding]:
    """A step that asks the clock cannot be repeated: a replay after a crash decides otherwise than the first time."""
    if not any(path.is_relative_to(room) for room in PURE_ROOMS):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    if alias.name.split(".")[0] in IMPURE_MODULES:
                        yield Finding(node.lineno, f"{alias.name} in a pure room; time and ids come with the event")
            case ast.ImportFrom(module=str() as module) if module.split(".")[0] in IMPURE_MODULES:
                yield Finding(node.lineno, f"{module} in a pure room; time and ids come with the event")
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)) if name in CLOCK_AND_CHANCE:
                yield Finding(node.lineno, f"{name}() in a pure room; time and ids come with the event")


JUNK_WORDS = {"util", "utils", "helper", "helpers", "common", "misc", "manager", "handler", "handlers", "processor", "service"}
JUNK_NAMES = JUNK_WORDS | {"base", "core", "data", "info"}
JUNK_ENDINGS = {"Util", "Utils", "Helper", "Helpers", "Manager", "Handler", "Processor", "Service", "Misc"}


def names_say_what_a_thing_is(path: PurePosixPath, tree: ast.Module) -> Iterator[Finding]:
    """A file named utils takes whatever has no place, until everything imports it and nobody dares to change it."""
    for part in (*path.parent.parts, path.stem):
        if part in JUNK_NAMES or part.rsplit("_", 1)[-1] in JUNK_WORDS:
            yield Finding(1, f"{part!r} says nothing; name it after what it holds")
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            last_word = re.findall(r"[A-Z][a-z0-9]*", node.name)[-1:] or [""]
            if last_word[0] in JUNK_ENDINGS or node.name.lower() in JUNK_NAMES:
                yield Finding(node.lineno, f"class {node.name}: name it after what it is")


# Statements that make or name things (CREATE, SET …) take no parameters, so only those over rows are held to them.
SQL = re.compile(r"^\s*(SELECT|INSERT\s+INTO|UPDATE|DELETE\s+FROM|WITH|MERGE|COPY)\b")


def sql_is_not_put_together(path: PurePosixPath, tree: ast.Module) -> Iterator[Finding]:
    """A value that is pasted into a statement becomes a part of it; that is how a client reads another client's rows."""
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr(values=[ast.Constant(value=str() as text), *rest]) if rest and SQL.match(text):
                yield Finding(node.lineno, "SQL in an f-string; use parameters ($1), or an .sql file")
            case ast.BinOp(op=ast.Add() | ast.Mod(), left=ast.Constant(value=str() as text)) if SQL.match(text):
                yield Finding(node.lineno, "SQL put together from pieces; use parameters ($1), or an .sql file")
            case ast.Call(func=ast.Attribute(value=ast.Constant(value=str() as text), attr="format")) if SQL.match(text):
                yield Finding(node.lineno, "SQL by format(); use parameters ($1), or an .sql file")


def only_outermost_loops_catch_everything(path: PurePosixPath, tree: ast.Module) -> Iterator[Finding]:
    """A swallowed exception about money or state leaves a half-done step that looks done."""
    allowed = outermost_loops()
    for name, node in catchers_of_everything(tree):
        if f"{path}::{name}" not in allowed:
            where = name or "the module"
            yield Finding(node.lineno, f"{where} catches everything; an outermost loop has to be in {OUTERMOST_LOOPS.name}")


def patterns_reach_to_the_end(path: PurePosixPath, tree: ast.Module) -> Iterator[Finding]:
    """In Python `$` matches before a last newline, too: an id that ended with one became a subject that no broker takes, and
    stopped whoever had to publish on it, for everybody. `$(?!\\n)` means the end here and wherever the schema is read."""
    for node in ast.walk(tree):
        match node:
            case ast.keyword(arg="pattern", value=ast.Constant(value=str() as text)):
                pass
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str() as text)) if name.endswith("_PATTERN"):
                pass
            case _:
                continue
        if not text.endswith(("$(?!\n)", r"$(?!\n)", r"\Z")):
            place = node.value if isinstance(node, ast.keyword) else node
            yield Finding(place.lineno, f"{text!r} lets a last newline through, or more; end it with `$(?!\\n)`")


RULES: tuple[Rule, ...] = (
    no_float_money,
    subjects_are_spelled_in_one_place,
    pure_rooms_have_no_clock_and_no_chance,
    names_say_what_a_thing_is,
    sql_is_not_put_together,
    only_outermost_loops_catch_everything,
    patterns_reach_to_the_end,
)

# Put together from parts, so that this file does not find itself.
MACHINE_FOLDERS = "|".join(["wo" + "rk", "ro" + "ot", "t" + "mp", "opt/py" + "pi", "opt/wh" + "eels"])
MACHINE_PATH = re.compile(rf"(?<![\w.$}}])/(?:{MACHINE_FOLDERS})/\w")
REGISTRY_HOST = re.compile("|".join(["py" + r"pi\.org", "python" + r"hosted\.org", "npm" + r"js\.(?:org|com)"]))


def no_traces_of_a_machine(text: str) -> Iterator[Finding]:
    """A path of the author's machine works there only; a registry's host name in a lock file breaks every mirror."""
    for number, line in enumerate(text.splitlines(), 1):
        for pattern in (MACHINE_PATH, REGISTRY_HOST):
            if found := pattern.search(line):
                yield Finding(number, f"{found.group()!r}: no machine path and no registry host belongs in a file")


def findings_in(rule: Rule, path: PurePosixPath, source: str) -> Iterator[Finding]:
    """What breaks the rule, without the lines that are marked as having to."""
    lines = source.splitlines()
    marks = [f"# house-rule: {rule.__name__}", *(["# noqa: S608"] if rule is sql_is_not_put_together else [])]
    for finding in rule(path, ast.parse(source)):
        line = lines[finding.line - 1] if lines else ""
        if not any(mark in line for mark in marks):
            yield finding


def outermost_loops() -> set[str]:
    """The allowed places, as `file::qualified name`."""
    lines = [line.split("  #")[0].strip() for line in OUTERMOST_LOOPS.read_text().splitlines()]
    return {line for line in lines if line and not line.startswith("#")}


def catchers_of_everything(tree: ast.AST, name: str = "") -> Iterator[tuple[str, ast.ExceptHandler | ast.Call]]:
    """Each place that catches every exception and does not raise it again, with the qualified name around it."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.FunctionDef(name=inner) | ast.AsyncFunctionDef(name=inner) | ast.ClassDef(name=inner):
                yield from catchers_of_everything(node, f"{name}.{inner}" if name else inner)
                continue
            case ast.ExceptHandler(type=kind, body=body) if _is_everything(kind) and not _raises_again(body):
                yield name, node
            case ast.Call(func=ast.Name(id="suppress") | ast.Attribute(attr="suppress"), args=kinds) if any(
                _is_everything(kind) for kind in kinds
            ):
                yield name, node
        yield from catchers_of_everything(node, name)


def _is_money(target: ast.expr) -> bool:
    match target:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Subscript(slice=ast.Constant(value=str(name))):
            return MONEY_NAME.search(name) is not None
        case _:
            return False


def _given_to_a_metric(tree: ast.Module) -> set[ast.expr]:
    """Metrics are floats by their nature; nothing is computed from them."""
    return {
        argument
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("observe", "inc", "set")
        for argument in node.args
    }


def _mentions_float(annotation: ast.expr) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "float" for node in ast.walk(annotation))


def _strings_that_are_not_docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in prose:
            yield node


def _is_everything(kind: ast.expr | None) -> bool:
    match kind:
        case None | ast.Name(id="Exception" | "BaseException"):
            return True
        case ast.Tuple(elts=kinds):
            return any(_is_everything(one) for one in kinds)
        case _:
            return False


def _raises_again(body: list[ast.stmt]) -> bool:
    match body[-1]:
        case ast.Raise(exc=None):
            return True
        case _:
            return False
