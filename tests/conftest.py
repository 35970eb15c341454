"""Fixtures that every room may use."""

from hypothesis import HealthCheck, settings

pytest_plugins = ("support.servers", "support.factory")

# A machine that has other things to do is no defect of what is tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
