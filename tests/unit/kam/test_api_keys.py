"""API keys: refused by shape before any query, compared as digests."""

import pytest

from aif_kam.api_keys import KeyDigest, key_id_of, mint_api_key
from aif_runtime.settings import Secret


def test_a_minted_key_tells_its_id_and_two_are_never_the_same() -> None:
    first, second = mint_api_key(), mint_api_key()

    assert key_id_of(first) == first.split("_")[2]
    assert first != second


@pytest.mark.parametrize("change", ["last digit", "secret", "id", "case", "longer", "other words"])
def test_a_key_with_anything_changed_is_none(change: str) -> None:
    key = mint_api_key()
    flipped = {
        "last digit": key[:-1] + ("0" if key[-1] != "0" else "1"),
        "secret": key.replace(key.split("_")[3], "0" * 64),
        "id": key.replace(key.split("_")[2], "0" * 16),
        "case": key.upper(),
        "longer": key + "\n",
        "other words": "' OR 1=1 --",
    }

    assert key_id_of(flipped[change]) is None


def test_a_digest_matches_its_key_under_its_pepper_only() -> None:
    key, digest, other = mint_api_key(), KeyDigest(Secret("p" * 32)), KeyDigest(Secret("q" * 32))

    assert digest.matches(key, digest.of(key))
    assert not digest.matches(key, other.of(key))
    assert not digest.matches(mint_api_key(), digest.of(key))
    assert not digest.matches(key, None)
