"""The gateway that the tests of this room talk to."""

from collections.abc import AsyncIterator

import httpx
import pytest_asyncio

from integration.kam.gateway_under_test import GatewayUnderTest, open_gateway


@pytest_asyncio.fixture
async def kam(fresh_kam_database: str) -> AsyncIterator[GatewayUnderTest]:
    async with open_gateway(fresh_kam_database) as gateway:
        yield gateway


@pytest_asyncio.fixture
async def alice(kam: GatewayUnderTest) -> AsyncIterator[httpx.AsyncClient]:
    async with kam.client("alice") as client:
        yield client


@pytest_asyncio.fixture
async def bob(kam: GatewayUnderTest) -> AsyncIterator[httpx.AsyncClient]:
    async with kam.client("bob") as client:
        yield client
