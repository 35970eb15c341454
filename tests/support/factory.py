"""A whole factory: servers and services as processes, with short times, in a folder of its own.

`factory` is the usual one, which the tests of a module share. `running_factory(...)` is for one test alone: it takes other
settings, other services, or a folder that outlives it.
"""

import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from aif_console.embedded.child_process import log_tail
from aif_console.factory.factory import Factory
from aif_console.factory.plan import SERVICES, FactoryPlan, RestartPauses, ServiceKind
from support.own_ports import gateway_port

SHORT_TIMES = {
    "AIF_ORCHESTRATOR_SWEEP_SECONDS": "0.1",
    "AIF_ORCHESTRATOR_UNCLAIMED_SECONDS": "2",
    "AIF_ORCHESTRATOR_LEASE_SECONDS": "6",
    "AIF_ACK_WAIT_SECONDS": "6",
    "AIF_CLASSIFIER_ANALYSIS_INTERVAL": "200ms",
    "AIF_DRAIN_SECONDS": "10",
}


@asynccontextmanager
async def running_factory(
    data_dir: Path,
    settings: Mapping[str, str] | None = None,
    *,
    services: tuple[ServiceKind, ...] = SERVICES,
    first_pause_seconds: float = 0.05,
) -> AsyncIterator[Factory]:
    """A factory that is ready, and stopped at the end; `settings` add to the short times. What went wrong in it is printed."""
    plan = plan_for_tests(data_dir, settings, services=services, first_pause_seconds=first_pause_seconds)
    factory = Factory(plan, tell=_say)
    await factory.start()
    try:
        yield factory
    finally:
        await factory.stop()
        for name, path in factory.log_paths.items():
            _say(name, f"its log ends:\n{log_tail(path)}")


def plan_for_tests(
    data_dir: Path,
    settings: Mapping[str, str] | None = None,
    *,
    services: tuple[ServiceKind, ...] = SERVICES,
    first_pause_seconds: float = 0.05,
) -> FactoryPlan:
    """Not durable against a power cut, quick to start again, away from everybody else's ports."""
    return FactoryPlan(
        data_dir=data_dir,
        settings={**SHORT_TIMES, **(settings or {})},
        kam_port=gateway_port(),
        services=services,
        durable=False,
        restart_pauses=RestartPauses(first_seconds=first_pause_seconds, longest_seconds=1.0),
    )


@pytest.fixture
def factory_dir() -> Iterator[Path]:
    """A folder that any user may pass through, since Postgres does not run as root."""
    with _open_folder() as folder:
        yield folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def factory_of_the_module() -> AsyncIterator[Factory]:
    with _open_folder() as folder:
        async with running_factory(folder) as running:
            yield running


@pytest.fixture
def factory(factory_of_the_module: Factory) -> Iterator[Factory]:
    """A factory in which orders, sources and letters of the module's other tests may lie. Nothing of it may be broken."""
    begins = {name: path.stat().st_size for name, path in factory_of_the_module.log_paths.items()}
    yield factory_of_the_module
    for name, path in factory_of_the_module.log_paths.items():
        _say(name, f"its log ends:\n{log_tail(path, since=begins[name])}")


@contextmanager
def _open_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="aif-factory-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _say(member: str, words: str) -> None:
    """Captured, and shown when the test fails."""
    sys.stdout.write(f"[{member}] {words}\n")
