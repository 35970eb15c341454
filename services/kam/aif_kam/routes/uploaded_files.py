"""The file in a request's body, by itself or in a form, as it comes in."""

from pathlib import PurePosixPath

from multipart import MultipartError, MultipartSegment, PushMultipartParser  # type: ignore[import-untyped]

from aif_contracts.orders import FieldMistake
from aif_kam.failures import MalformedBody
from aif_kam.routes.calling import CallerRequest, plain_body
from aif_kam.sources.reading import FileToRead
from aif_kam.uploads import Upload

MAX_FILE_NAME_CHARACTERS = 200
MAX_FORM_PARTS = 1000
_FORM = "multipart/form-data"
_PLAIN = "text/plain"


async def receive_file(request: CallerRequest, file_name: str | None, upload: Upload) -> FileToRead:
    """Write the one file of the body into `upload`; what else a form holds is dropped as it comes.

    Raises UnsupportedBody, MalformedBody; Unavailable as `upload` does; and what the framework raises for a body too large.
    """
    plain_body(request)
    media_type = request.headers.get("content-type", "")
    if media_type.lower().startswith(_FORM):
        part = await _receive_part(request, upload)
        file = FileToRead(file_name=_plain_name(part.filename or file_name), media_type=part.content_type or _PLAIN)
    else:
        async for piece in request.stream():
            await upload.write(piece)
        file = FileToRead(file_name=_plain_name(file_name), media_type=media_type or None)
    await upload.complete()
    return file


async def _receive_part(request: CallerRequest, upload: Upload) -> MultipartSegment:
    boundary = request.content_type[1].get("boundary")
    if boundary is None:
        raise _unreadable_form("the multipart body cannot be read: Content-Type names no boundary")
    try:
        files = await _receive_parts(request, boundary, upload)
    except MultipartError as wrong:
        raise _unreadable_form(f"the multipart body cannot be read: {str(wrong)[:100]}") from wrong
    if len(files) != 1:
        raise _unreadable_form(f"the multipart body holds {len(files)} files, but one is due")
    return files[0]


async def _receive_parts(request: CallerRequest, boundary: str, upload: Upload) -> list[MultipartSegment]:
    """Those that are files; the first of them goes into `upload`."""
    files: list[MultipartSegment] = []
    is_wanted = False
    with PushMultipartParser(boundary, max_segment_count=MAX_FORM_PARTS) as parser:
        async for piece in request.stream():
            for event in parser.parse(piece):
                if isinstance(event, MultipartSegment):
                    files += [event] if event.filename else []
                    is_wanted = bool(event.filename) and len(files) == 1
                elif event and is_wanted:
                    await upload.write(event)
    return files


def _unreadable_form(message: str) -> MalformedBody:
    mend = "send one document in the form field `source`, for example curl -F source=@FILE"
    return MalformedBody(message, mistakes=(FieldMistake(field="source", message=message, mend=mend),))


def _plain_name(name: str | None) -> str | None:
    """The last part of a path, without what a name should not hold."""
    if not name:
        return None
    last = PurePosixPath(name.replace("\\", "/")).name
    return "".join(character for character in last if character.isprintable())[-MAX_FILE_NAME_CHARACTERS:] or None
