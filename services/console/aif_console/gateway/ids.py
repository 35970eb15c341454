"""Ids and names from the command line, checked before they become part of an address."""

import re

from aif_console.failures import BadInput

_ID = re.compile(r"[a-z]{1,20}_[0-9A-Za-z_-]{1,64}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def kind_of(some_id: str) -> str:
    """`req` or `exec`. Raises BadInput for what is neither."""
    kind = some_id.partition("_")[0]
    if not _ID.fullmatch(some_id) or kind not in ("req", "exec"):
        raise BadInput("ID", f"{some_id!r} is no id", "give the req_… of a request or the exec_… of an execution")
    return kind


def checked_id(some_id: str, kind: str, where: str) -> str:
    """The id itself when it is one of that kind. `where` says what lists them. Raises BadInput."""
    if not _ID.fullmatch(some_id) or not some_id.startswith(f"{kind}_"):
        raise BadInput("ID", f"{some_id!r} is no id", f"give the {kind}_… that `{where}` shows")
    return some_id


def checked_name(name: str, field: str = "NAME") -> str:
    """The name of a pipeline. Raises BadInput."""
    if not _NAME.fullmatch(name):
        raise BadInput(field, f"{name!r} is no pipeline's name", "`aif pipelines` shows the names")
    return name
