"""How long an answer can be before it is an attack or a fault."""

_CHARACTERS_PER_TOKEN = 64
"""Far above any real vocabulary, whose longest tokens are runs of spaces."""
_HEADROOM = 65_536


def longest_answer(max_output_tokens: int) -> int:
    """Characters; a provider that sends more is cut off, so that it cannot fill our memory."""
    return max_output_tokens * _CHARACTERS_PER_TOKEN + _HEADROOM
