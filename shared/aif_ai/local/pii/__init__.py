"""Finds and replaces personal data and secrets by rules with checksums, without a model."""
