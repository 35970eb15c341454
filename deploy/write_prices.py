"""Write the price lists that are shipped, from an installed genai-prices, a maintained open list. Run by hand; read the diff.

`uv run --no-project --with genai-prices --with msgspec python deploy/write_prices.py`

The library is a tool of this script only. What our ledger cannot count (pictures, pages, audio by the token) is left out, and
so are models whose price depends on the hour. Deepgram is not in it: `deepgram.json` is written by hand.
"""

import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

FOLDER = Path(__file__).parents[1] / "shared" / "aif_prices" / "data"
API_HOSTS = {
    "anthropic": None,
    "cerebras": "api.cerebras.ai",
    "deepseek": "api.deepseek.com",
    "fireworks": "api.fireworks.ai",
    "groq": "api.groq.com",
    "mistral": "api.mistral.ai",
    "openai": None,
    "together": "api.together.xyz",
    "x-ai": "api.x.ai",
}
BY_MILLION = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
}
OTHERWISE = {
    "audio_hours": ("audio_hour", 1),
    "input_audio_hours": ("audio_hour", 1),
    "input_mchars": ("character", 1_000_000),
    "requests_kcount": ("call", 1_000),
}
NOT_USED = {"web_searches_kcount", "storage_searches_kcount", "cache_write_1h_mtok"}
"""Searches of the provider's own and caches for an hour: we never ask for them."""
NOTES = "Without what providers charge for searches of their own, for an hour's cache, in batches and by service tier."


def main() -> None:
    from genai_prices import data

    source = f"genai-prices {version('genai-prices')}"
    today = datetime.now(UTC).date()
    for provider in data.providers:
        if provider.id in API_HOSTS:
            models = sorted(filter(None, map(_model, provider.models)), key=lambda model: model["model"])
            _write(provider.id, source, today, models)
            sys.stdout.write(f"{provider.id}: {len(models)} of {len(provider.models)} models\n")


def _write(provider: str, source: str, today: date, models: list[dict[str, Any]]) -> None:
    known = {model["model"] for model in models}
    for model in models:
        # A name that is listed itself is nobody's alias.
        model["aliases"] = sorted(set(model["aliases"]) - known) or None
    whole = {
        "provider": provider,
        "api_host": API_HOSTS[provider],
        "currency": "USD",
        "per_tokens": 1_000_000,
        "source": source,
        "read_on": today.isoformat(),
        "notes": NOTES,
    }
    head = msgspec.json.format(msgspec.json.encode(_said(whole)), indent=2).decode().removesuffix("\n}")
    lines = ",\n".join(f"    {msgspec.json.format(msgspec.json.encode(_said(model)), indent=0).decode()}" for model in models)
    (FOLDER / f"{provider.replace('-', '_')}.json").write_text(f'{head},\n  "models": [\n{lines}\n  ]\n}}\n')


def _model(model: Any) -> dict[str, Any] | None:
    conditional = model.prices if isinstance(model.prices, list) else None
    versions = []
    for each in conditional or [model.prices]:
        constraint = each.constraint if conditional else None
        if constraint is not None and not hasattr(constraint, "start_date"):
            return None
        rates = _version(each.prices if conditional else each)
        if rates is None:
            return None
        versions.append({"valid_from": constraint.start_date.isoformat() if constraint is not None else None, **rates})
    names = {name for name in _names(model.match) if name != model.id}
    return {"model": model.id, "aliases": sorted(names), "versions": [_said(each) for each in versions]}


def _version(prices: Any) -> dict[str, Any] | None:
    """Rates by kind, as text; None for a model that is charged in a way that we do not count, or not at all."""
    given = {key: value for key, value in vars(prices).items() if value is not None and not key.startswith("_")}
    plain: dict[str, Decimal] = {}
    longer: dict[str, Decimal] = {}
    above = set()
    for key, value in given.items():
        if key in NOT_USED:
            continue
        if key in OTHERWISE:
            kind, parts = OTHERWISE[key]
            plain[kind] = value / parts
        elif key in BY_MILLION:
            tiers = getattr(value, "tiers", ())
            if len(tiers) > 1:
                return None
            plain[BY_MILLION[key]] = value.base if tiers else value
            longer[BY_MILLION[key]] = tiers[0].price if tiers else value
            above |= {tier.start for tier in tiers}
        else:
            return None
    if not plain or len(above) > 1 or any(plain.get(kind) == 0 for kind in ("input", "output", "audio_hour", "character")):
        return None
    version = {kind: f"{rate.normalize():f}" for kind, rate in plain.items()}
    if above:
        long_input = {kind: f"{rate.normalize():f}" for kind, rate in longer.items()}
        return {**version, "long_input": {"above_tokens": above.pop(), **long_input}}
    return version


def _names(match: Any) -> set[str]:
    """Names that surely mean the model: what it equals, and what its dated names begin with."""
    if hasattr(match, "or_"):
        return set().union(*map(_names, match.or_))
    if hasattr(match, "equals"):
        return {match.equals}
    prefix: str = getattr(match, "starts_with", "")
    return {prefix} if prefix and prefix[-1].isalnum() else set()


def _said(whole: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in whole.items() if value is not None and value != []}


if __name__ == "__main__":
    main()
