"""From a bus to all that a worker process knows of the configuration."""

from collections.abc import Iterable

from msgspec import Struct

from aif_ai.configuration import Configurations
from aif_ai.configuration_complaints import Complaints
from aif_ai.configuration_entries import ConfigurationEntries
from aif_ai.configured_switches import ConfiguredSwitches
from aif_prices.book import PriceBook, shipped_prices
from aif_prices.overrides import PriceOverrides
from aif_runtime.bus import Bus
from aif_runtime.clock import Clock


class Configured(Struct, frozen=True, kw_only=True):
    entries: ConfigurationEntries
    """Its `run` is a part of the process: it follows the changes."""
    clients: Configurations
    switches: ConfiguredSwitches


async def open_configuration(bus: Bus, clock: Clock, *, origin: str, free_models: Iterable[str] = ()) -> Configured:
    """With the factory's own configuration read, or its defaults when the broker does not answer soon.

    `origin` is the worker that the audit log hears of values that cannot be used.
    """
    complaints = Complaints(origin=origin, clock=clock)
    entries = ConfigurationEntries(bus=bus, monotonic=clock.monotonic, complaints=complaints)
    clients = Configurations(entries=entries, complaints=complaints)
    shipped, free = shipped_prices(), tuple(free_models)

    def price_book(overrides: PriceOverrides) -> PriceBook:
        return PriceBook(shipped, free_models=free, overrides=overrides)

    switches = ConfiguredSwitches(entries=entries, configurations=clients, complaints=complaints, price_book=price_book)
    await entries.refresh_system()
    return Configured(entries=entries, clients=clients, switches=switches)
