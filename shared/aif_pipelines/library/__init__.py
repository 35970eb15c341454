"""The built-in pipelines, one document each."""

from aif_pipelines.library.builtin import builtin_pipelines

__all__ = ["builtin_pipelines"]
