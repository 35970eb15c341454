"""A pipeline's document as YAML that reads back as the same pipeline."""

from typing import Any

import yaml

WIDTH = 110
_LIKE_NUMBERS = frozenset("+-.0123456789")


class _Writer(yaml.SafeDumper):
    """Quotes every text that YAML 1.2 might read as a number; PyYAML itself looks at texts with the eyes of YAML 1.1."""

    def represent_text(self, text: str) -> yaml.Node:
        style = '"' if text[:1] in _LIKE_NUMBERS and text else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    def ignore_aliases(self, data: Any) -> bool:
        """What is there twice is written twice."""
        return True


_Writer.add_representer(str, _Writer.represent_text)


def yaml_of(document: dict[str, Any]) -> str:
    """Keys in the order in which they came."""
    return yaml.dump(document, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=WIDTH)
