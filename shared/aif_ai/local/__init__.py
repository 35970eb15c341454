"""Providers that need no key and no network: rules and small models on this machine. They cost nothing and say so."""
