"""A function that does nothing in the place of another one, wherever that was imported to."""

import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any


def replace_everywhere(function: Callable[..., Any], other: Callable[..., Any]) -> None:
    """In all modules that know it by its name. Raises LookupError when none does."""
    assert isinstance(function, FunctionType)
    name = function.__name__
    places = [module for module in list(sys.modules.values()) if getattr(module, name, None) is function]
    if not places:
        raise LookupError(f"nobody knows {name}")
    for module in places:
        setattr(module, name, other)
