"""What is written below the fields of a struct, for descriptions of what travels as JSON.

Python keeps the docstring of a class and drops those of its fields, so they are read from the source.
"""

import ast
import inspect
import re
import sys
from collections.abc import Mapping
from functools import cache

_IN_JSON = {"None": "null", "True": "true", "False": "false"}
_IN_PYTHON = re.compile(rf"\b({'|'.join(_IN_JSON)})\b")


def field_docs(struct: type) -> Mapping[str, str]:
    """By the field's name in Python, on one line each, inherited ones included, with JSON's words for None, True and False.

    Empty where the source is not at hand.
    """
    found: dict[str, str] = {}
    for each in reversed(struct.__mro__):
        found.update(_docs_of_module(each.__module__).get(each.__qualname__, {}))
    return found


def in_words_of_json(docstring: str) -> str:
    """On one line."""
    return _IN_PYTHON.sub(lambda word: _IN_JSON[word[0]], " ".join(docstring.split()))


@cache
def _docs_of_module(name: str) -> Mapping[str, Mapping[str, str]]:
    """By the class's name in the module."""
    try:
        source = inspect.getsource(sys.modules[name])
    except (KeyError, OSError, TypeError):
        return {}
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    return {each.name: dict(_docs_in(each)) for each in classes}


def _docs_in(node: ast.ClassDef) -> list[tuple[str, str]]:
    return [
        (field.target.id, in_words_of_json(words.value.value))
        for field, words in zip(node.body, node.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(words, ast.Expr)
        and isinstance(words.value, ast.Constant)
        and isinstance(words.value.value, str)
    ]
