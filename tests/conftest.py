"""Fixtures that every room may use."""

pytest_plugins = ("support.servers", "support.factory")
