"""Which Restate to compare with: named by whoever wants to, never a dependency of ours."""

import os
from pathlib import Path

from msgspec import Struct

VARIABLE = "RESTATE"
PYTHON_VARIABLE = "RESTATE_PYTHON"
HOW = (
    "To compare with Restate, install its server, and restate-sdk, granian and uvloop somewhere else, and name both: "
    f"{VARIABLE}=…/restate-server {PYTHON_VARIABLE}=…/bin/python"
)


class WronglyNamed(Exception):
    """The message says which variable, and how to mend it."""


class RestatePrograms(Struct, frozen=True, kw_only=True):
    server: Path
    python: Path
    """Of an environment that has its SDK."""


def restate_programs() -> RestatePrograms | None:
    """None if nobody asks for the comparison. Raises WronglyNamed."""
    if not os.environ.get(VARIABLE):
        return None
    return RestatePrograms(server=_program(VARIABLE), python=_program(PYTHON_VARIABLE))


def _program(variable: str) -> Path:
    named = os.environ.get(variable)
    if not named:
        raise WronglyNamed(f"{variable} is not set. {HOW}")
    # Not resolved: the interpreter of an environment is a link, and knows its environment by its place.
    path = Path(named).absolute()
    if not os.access(path, os.X_OK) or path.is_dir():
        raise WronglyNamed(f"{variable} names {named}, which is no program that can be run. {HOW}")
    return path
