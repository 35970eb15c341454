"""Documents in and out: sources, deliverables; and the templates that lead from one to the other."""

from dataclasses import dataclass
from typing import Annotated, Any

from litestar import Response, Router, get, post
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import FromPath, HeaderParameter, QueryParameter
from litestar.response import Stream
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED, HTTP_206_PARTIAL_CONTENT

from aif_contracts.orders import TemplateList, TemplateView
from aif_kam import problems
from aif_kam.body_room import STREAMED
from aif_kam.byte_ranges import has_copy, part_of
from aif_kam.order_parameters import as_offered
from aif_kam.parts import Parts
from aif_kam.payloads import SourceView
from aif_kam.routes.calling import (
    CallerRequest,
    IdempotencyHeader,
    OfClient,
    OwnerClient,
    PageCursor,
    keyed,
    known_id,
    name_cursor,
    named_client,
)
from aif_kam.routes.uploaded_files import receive_file
from aif_kam.source_intake import MAX_FILE_BYTES

MULTIPART_SLACK_BYTES = 64 * 1024


@dataclass
class SourceUpload(Operation):
    """An operation whose body is a file, by itself or in a form."""

    def __post_init__(self) -> None:
        file = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
        form = Schema(type=OpenAPIType.OBJECT, properties={"source": file}, required=["source"])
        content = {"multipart/form-data": OpenAPIMediaType(schema=form), "*/*": OpenAPIMediaType(schema=file)}
        self.request_body = RequestBody(content=content, required=True, description="A document or a recording")


def document_routes(parts: Parts) -> Router:
    @post(
        "/sources",
        operation_class=SourceUpload,
        opt={STREAMED: True},
        request_max_body_size=MAX_FILE_BYTES + MULTIPART_SLACK_BYTES,
        responses=problems.documented(*problems.BODY) | problems.described_as(SourceView, HTTP_201_CREATED),
        summary="Upload a source document, as the raw body or as the multipart field `source`",
    )
    async def upload(
        request: CallerRequest,
        file_name: Annotated[str | None, QueryParameter(description="For a raw body: name with extension")] = None,
        client_id: OwnerClient = None,
        idempotency_key: IdempotencyHeader = None,
    ) -> Response[bytes]:
        owner = await parts.identity.acting_for(request.auth, named_client(client_id))
        async with parts.uploads.receive(owner) as received:
            file = await receive_file(request, file_name, received)
            if received.size_bytes > MAX_FILE_BYTES:
                raise problems.body_too_large("50 MiB")
            call = keyed(request, owner, idempotency_key, f"{file.file_name or ''}\n{received.sha256}".encode())
            return problems.response_of(await parts.intake.take(owner, received, file, call))

    @get(
        "/deliverables/{deliverable_id:str}",
        responses=problems.documented(*problems.DELETED, *problems.PARTS) | problems.BYTES,
        summary="A deliverable's bytes, or a part of them",
    )
    async def deliverable(
        request: CallerRequest,
        deliverable_id: FromPath[str],
        if_none_match: Annotated[str | None, HeaderParameter(name="If-None-Match", required=False)] = None,
        byte_range: Annotated[
            str | None,
            HeaderParameter(name="Range", required=False, description="One part, for example bytes=1000-, to go on there"),
        ] = None,
        if_range: Annotated[
            str | None,
            HeaderParameter(name="If-Range", required=False, description="The ETag of which the part is to be, else all comes"),
        ] = None,
    ) -> Response[Any]:
        found = await parts.intake.find_deliverable(known_id(deliverable_id), request.auth.sees)
        etag, size = f'"{found.blob.sha256}"', found.blob.size_bytes
        headers = {"ETag": etag, "Cache-Control": "private, max-age=31536000, immutable", "Accept-Ranges": "bytes"}
        if has_copy(if_none_match, etag):
            return problems.unchanged(headers)
        part = part_of(byte_range, if_range, etag=etag, size=size)
        headers["Content-Disposition"] = f'attachment; filename="{_attachment(found.name, found.media_type)}"'
        start, stop = (0, size) if part is None else (part.start, part.stop)
        headers["Content-Length"] = str(stop - start)
        if part is not None:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        pieces = await parts.results.pieces_of(found.blob, found.execution_id, start, stop)
        status = HTTP_200_OK if part is None else HTTP_206_PARTIAL_CONTENT
        return Stream(pieces, status_code=status, media_type=found.media_type, headers=headers)

    @get(
        "/templates",
        responses=problems.documented(*problems.OF_CLIENT),
        summary="What can be ordered, by name: the factory's and own",
    )
    async def templates(
        request: CallerRequest,
        client_id: OfClient = None,
        cursor: PageCursor = None,
        limit: Annotated[int, QueryParameter(ge=1, le=100, description="Templates on a page")] = 20,
    ) -> TemplateList:
        after = name_cursor(cursor)
        offered = await parts.catalogue.all(await parts.identity.owner(request.auth, named_client(client_id)))
        names = sorted(name for name in offered if after is None or name > after)
        page = tuple(as_offered(offered[name]) for name in names[:limit])
        return TemplateList(templates=page, next_cursor=page[-1].name if len(names) > limit else None)

    @get(
        "/templates/{name:str}",
        responses=problems.documented(*problems.ABSENT, *problems.OF_CLIENT),
        summary="A template and its parameters",
    )
    async def template(request: CallerRequest, name: FromPath[str], client_id: OfClient = None) -> TemplateView:
        return as_offered(await parts.catalogue.get(name, await parts.identity.owner(request.auth, named_client(client_id))))

    return Router("/api/kam", route_handlers=[upload, deliverable, templates, template], tags=["documents"])


def _attachment(name: str, media_type: str) -> str:
    plain = "".join(
        character if character.isascii() and (character.isalnum() or character in "_-") else "_" for character in name
    )
    return f"{plain}.json" if media_type == "application/json" else plain
