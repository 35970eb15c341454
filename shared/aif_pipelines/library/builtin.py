"""Loads the built-in pipelines from the documents beside this file."""

from importlib import resources

from aif_pipelines.definition import Pipeline
from aif_pipelines.loading import load_pipeline


def builtin_pipelines() -> tuple[Pipeline, ...]:
    """All built-in pipelines, by name. Reads and checks the documents at every call; keep the result."""
    documents = sorted(
        (entry for entry in resources.files("aif_pipelines.library").iterdir() if entry.name.endswith(".yaml")),
        key=lambda entry: entry.name,
    )
    return tuple(load_pipeline(document.read_bytes()) for document in documents)
