"""Tokens as they are compared: every kind apart, none counted twice."""

from typing import Self

from msgspec import Struct

from aif_contracts.metering import Tokens


class Usage(Struct, frozen=True, kw_only=True):
    """May be below zero: differences are usage, too."""

    input: int = 0
    """Neither read from nor written to a cache."""
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    """Reasoning included."""

    @classmethod
    def of_tokens(cls, tokens: Tokens) -> Self:
        return cls(
            input=tokens.prompt_tokens - tokens.cache_read_tokens - tokens.cache_write_tokens,
            cache_read=tokens.cache_read_tokens,
            cache_write=tokens.cache_write_tokens,
            output=tokens.completion_tokens,
        )

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input=self.input + other.input,
            cache_read=self.cache_read + other.cache_read,
            cache_write=self.cache_write + other.cache_write,
            output=self.output + other.output,
        )

    def __sub__(self, other: "Usage") -> "Usage":
        return self + Usage(
            input=-other.input, cache_read=-other.cache_read, cache_write=-other.cache_write, output=-other.output
        )

    @property
    def is_nothing(self) -> bool:
        return self == NOTHING

    @property
    def is_some(self) -> bool:
        """Something that a call can have used: above zero, and nothing below it."""
        return not self.is_nothing and min(self.input, self.cache_read, self.cache_write, self.output) >= 0

    @property
    def magnitude(self) -> int:
        """Tokens that are too many or too few, of all kinds together."""
        return abs(self.input) + abs(self.cache_read) + abs(self.cache_write) + abs(self.output)

    @property
    def total(self) -> int:
        return self.input + self.cache_read + self.cache_write + self.output

    def as_tokens(self) -> Tokens:
        prompt = self.input + self.cache_read + self.cache_write
        return Tokens(
            prompt_tokens=prompt,
            completion_tokens=self.output,
            total_tokens=prompt + self.output,
            cache_read_tokens=self.cache_read,
            cache_write_tokens=self.cache_write,
        )


NOTHING = Usage()
