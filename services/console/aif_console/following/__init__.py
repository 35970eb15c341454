"""Watching an execution until it ends."""
