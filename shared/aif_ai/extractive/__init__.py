"""Structures and questions taken word for word from a source text: no model, no cost, every point provable."""
