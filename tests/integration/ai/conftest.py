"""The provider double for this room, and a rig over each wire."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from support.provider_double.server import ProviderDouble, provider_double


@pytest_asyncio.fixture
async def double() -> AsyncIterator[ProviderDouble]:
    async with provider_double() as running:
        yield running


@pytest.fixture(params=["openai", "anthropic"])
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)
