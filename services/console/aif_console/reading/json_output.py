"""Answers for programs: one JSON document on one line, as the factory gave it."""

import msgspec
from rich.console import Console


def print_json(console: Console, answer: msgspec.Struct) -> None:
    console.out(msgspec.json.encode(answer).decode(), highlight=False)
