"""Answers that fit a JSON Schema, made from the words of the prompt: the same prompt gives the same answer."""

import json
import re
from itertools import count
from typing import Any

_SOURCE = re.compile(r"<source>\n(.*)\n</source>", re.DOTALL)
_SENTENCE = re.compile(r"[A-Z][^.\n]{20,200}\.")
_PHRASE_WORDS = 9
_SHORTEST_QUOTE = 20
_LENGTHS = {"options": 4, "depends_on": 0}
_SERVICE = "mail"


def answer_text(prompt: str, schema: dict[str, Any] | None) -> str:
    """JSON for a schema, a sentence without one."""
    source = _SOURCE.search(prompt)
    material = source.group(1) if source else prompt
    words = material.split() or ["nothing"]
    if schema is None:
        return " ".join(words[:20])
    quotable = _SENTENCE.findall(material) or [line for line in material.splitlines() if len(line) >= _SHORTEST_QUOTE]
    return json.dumps(_Filler(words, quotable if source else []).fill(schema, schema, "answer"), ensure_ascii=False)


class _Filler:
    def __init__(self, words: list[str], sentences: list[str]) -> None:
        self._words = words
        self._sentences = sentences
        self._numbers = count(1)

    def fill(self, node: dict[str, Any], root: dict[str, Any], name: str) -> Any:
        if "$ref" in node:
            return self.fill(root["$defs"][node["$ref"].removeprefix("#/$defs/")], root, name)
        if "anyOf" in node:
            return self.fill(next(option for option in node["anyOf"] if option.get("type") != "null"), root, name)
        if "enum" in node:
            return node["enum"][0]
        match node.get("type"):
            case "object":
                return {key: self.fill(inner, root, key) for key, inner in node.get("properties", {}).items()}
            case "array":
                length = max(_LENGTHS.get(name, 2), node.get("minItems", 0))
                return [self.fill(node["items"], root, name) for _ in range(length)]
            case "integer" | "number":
                return node.get("minimum", 0 if name == "answer_index" else 1)
            case "boolean":
                return True
        return self._text(name)

    def _text(self, name: str) -> str:
        number = next(self._numbers)
        if name == "id":
            return f"step_{number}"
        if name == "service":
            return _SERVICE
        if name == "quote":
            return self._sentences[number * 7 % len(self._sentences)] if self._sentences else ""
        start = number * _PHRASE_WORDS % len(self._words)
        return f"{' '.join(self._words[start : start + _PHRASE_WORDS])} ({number})"
