"""Fixtures that every room may use."""

import gc

from hypothesis import HealthCheck, settings

from support.own_ports import keep_to_own_ports

pytest_plugins = ("support.servers", "support.factory")

# A machine that has other things to do is no defect of what is tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_configure() -> None:
    keep_to_own_ports()


def pytest_collection_finish() -> None:
    """Without this, every search for garbage goes through all that was imported for thousands of tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
