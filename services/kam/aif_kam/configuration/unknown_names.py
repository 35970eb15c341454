"""A remark on a key of the configuration that names an action or a provider which nobody has at present.

It is set all the same: who has it may not be started yet. But a misspelt name would otherwise do nothing, in silence.
"""

import difflib
from collections.abc import Sequence

from aif_contracts.workers import WorkerDescription

_ACTION, _PROVIDER = "agent", "provider_requests_per_minute"
_MOST_NAMED = 20


def names_somebody(key: str) -> bool:
    """Whether the key is for one action or one provider."""
    return key.startswith((f"{_ACTION}.", f"{_PROVIDER}."))


def remark_on(key: str, live: Sequence[WorkerDescription]) -> str | None:
    """In words, for the person who set the key; None when somebody has what it names, or nobody is there to ask."""
    kind, *words = key.split(".")
    if kind == _ACTION:
        actions = {action.name for worker in live for action in worker.actions}
        return _remark("action", words[0], actions, "no live worker offers it")
    if kind == _PROVIDER:
        providers = {provider.name for worker in live for provider in worker.providers if not provider.is_local}
        return _remark("provider", words[0], providers, "no live worker has it configured")
    return None


def _remark(what: str, name: str, known: set[str], why: str) -> str | None:
    if name in known or not known:
        return None
    near = difflib.get_close_matches(name, sorted(known), 1)
    listed = ", ".join(sorted(known)[:_MOST_NAMED])
    mend = f"did you mean {near[0]}? Known are {listed}" if near else f"known are {listed}"
    return f"{name} is no {what} that is known now ({why}), so the key does nothing yet: {mend}"
