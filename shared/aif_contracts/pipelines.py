"""Pipelines as documents: checked, stored under name and version, listed, read back."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from aif_contracts.orders import Name

LARGEST_DOCUMENT_CHARACTERS = 256 * 1024


class SavePipeline(Struct, frozen=True, kw_only=True):
    """Check a document and store it. A stored version never changes; the same document again is harmless.

    Answered with PipelineSaved, or a Refusal that names every mistake in the document.
    """

    client_id: str | None
    """Whose own pipeline it becomes; None makes it one of the factory's, offered to everybody."""
    document: Annotated[str, Meta(min_length=1, max_length=LARGEST_DOCUMENT_CHARACTERS)]
    """JSON or YAML."""
    dry_run: bool = False
    """Check only."""
    require_workers: bool = True
    """Refuse a worker or an action that nobody offers now; False for workers that will be started later."""


class PipelineView(Struct, frozen=True, kw_only=True):
    name: str
    version: str
    owner: str | None
    """None for the factory's."""
    title: str
    description: str
    digest: str
    created_at: str
    offered: bool
    stages: tuple[str, ...]


class PipelineSaved(Struct, frozen=True, kw_only=True, tag="pipeline_saved", tag_field="reply"):
    name: str
    version: str
    owner: str | None
    digest: str
    is_new: bool
    """False when the same was stored before, and for a dry run of it."""
    notes: tuple[str, ...] = ()
    """What is not wrong and should be known, for example that no worker offers an action now."""


class PipelinesChanged(Struct, frozen=True, kw_only=True):
    """Told when a pipeline was stored: whoever remembers some has to look again."""

    owner: str | None
    """The client whose own one it is; None for the factory's, which everybody is offered."""


class ListPipelines(Struct, frozen=True, kw_only=True):
    """All versions, by name, newest version first. Answered with PipelinePage."""

    client_id: str | None
    """Whose own ones are listed beside the factory's; None, the operator, sees all."""
    name: Name | None = None
    cursor: str | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class PipelinePage(Struct, frozen=True, kw_only=True):
    pipelines: tuple[PipelineView, ...]
    next_cursor: str | None
    """None on the last page."""


class GetPipeline(Struct, frozen=True, kw_only=True):
    """Answered with PipelineDocument or Refusal."""

    client_id: str | None
    name: Name
    version: str | None = None
    """None for the newest."""


class PipelineDocument(Struct, frozen=True, kw_only=True):
    pipeline: PipelineView
    document: dict[str, Any]
    """Complete: with every default written out."""
