"""The one place where secrets are taken out of what leaves a process: log lines, spans, error texts, dead letters.

Two nets. Exact: every secret that the settings hold, also as it looks in base64, in a URL and inside a JSON string. By shape:
provider keys, bearer tokens, cloud keys, passwords in URLs, private keys, because a secret may reach us from elsewhere.
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

MASK = "***"
_SHORTEST_KNOWN = 4
"""Shorter secrets are left to the second net: masking every `a` of a log helps nobody."""
_TOKEN = r"[A-Za-z0-9._~+/=-]"
_SHAPES: Mapping[str, Sequence[str]] = {
    rf"(?i:(?<=\bBearer )|(?<=\bBasic )){_TOKEN}{{6,}}": ("bearer ", "basic "),
    r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{8,}": ("sk-", "pk-", "rk-"),
    r"\baf_(?:live|test)_[A-Za-z0-9_-]{8,}": ("af_live_", "af_test_"),
    r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}": ("akia", "asia"),
    r"\bgh[pousr]_[A-Za-z0-9]{16,}": ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)": ("://",),
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)": ("-----begin ",),
    r"(?i:(?<=\bpassword=)|(?<=\bapi_key=)|(?<=\baccess_token=))[^\s&;,'\"]+": ("password=", "api_key=", "access_token="),
}
"""Each with what is in every text that holds one, case folded. To look for that is much quicker, and most texts, a
dead letter of half a megabyte among them, hold none of it."""
_SECRET_FIELDS = frozenset(
    {"password", "secret", "api_key", "x-api-key", "authorization", "cookie", "set-cookie", "access_token", "refresh_token"}
)


def readable(text: str) -> str:
    """The text without what no reader of ours takes: NUL, and surrogates, which UTF-8 has not."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


class Redactor:
    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {form for secret in secrets if len(secret) >= _SHORTEST_KNOWN for form in _forms(secret)}
        longest_first = sorted(known, key=len, reverse=True)
        self._pattern = re.compile("|".join([*map(re.escape, longest_first), *_SHAPES]))
        self._known = longest_first
        self._signs = [sign for signs in _SHAPES.values() for sign in signs]

    def text(self, text: str) -> str:
        """The text without secrets."""
        return self._pattern.sub(MASK, text) if self._may_hold_one(text) else text

    def _may_hold_one(self, text: str) -> bool:
        folded = text.casefold()
        return any(sign in folded for sign in self._signs) or any(form in text for form in self._known)

    def sendable(self, text: str) -> str:
        """The text without secrets, and without what no reader of ours takes."""
        return self.text(readable(text)) if text else ""

    def value(self, value: Any) -> Any:
        """A copy of a nested value whose texts, keys included, hold no secrets. What is not plain data becomes text."""
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._field(str(key), inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.value(inner) for inner in value]
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self.text(bytes(value).decode("utf-8", "replace"))
        if isinstance(value, msgspec.Struct):
            return self.value(msgspec.structs.asdict(value))
        return self.text(str(value))

    def _field(self, key: str, value: Any) -> Any:
        return MASK if key.lower() in _SECRET_FIELDS and value is not None else self.value(value)


def _forms(secret: str) -> Iterable[str]:
    raw = secret.encode()
    yield secret
    yield quote(secret, safe="")
    yield quote(secret)
    yield msgspec.json.encode(secret)[1:-1].decode()
    yield secret.encode("unicode_escape").decode()
    yield repr(secret)[1:-1]
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield from _base64_inside(raw, encode)


def _base64_inside(raw: bytes, encode: Any) -> Iterable[str]:
    """The characters that the secret alone decides, at each of the three ways it can lie inside longer base64 text."""
    for offset in range(3):
        whole = encode(b"\0" * offset + raw).decode().rstrip("=")
        first = (0, 2, 3)[offset]
        surplus = (offset + len(raw)) % 3
        inside = whole[first:-1] if surplus else whole[first:]
        if len(inside) >= _SHORTEST_KNOWN:
            yield inside
