"""What the routes share about a call: who calls, with which key, for which thing."""

import re
from typing import Annotated, Any, Generic, TypeVar

from litestar import MediaType, Request, Response
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.dto import AbstractDTO, DTOConfig
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import Reference
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream
from litestar.types import Guard
from litestar.typing import FieldDefinition
from msgspec import Struct

from aif_contracts.orders import FieldMistake
from aif_kam.body_fields import read_body
from aif_kam.failures import NotAllowed, NotFound, UnsupportedBody, invalid
from aif_kam.idempotency import HEADER, KEY_PATTERN, KeyedCall, keyed_call
from aif_kam.identity import Caller, Identity, Scope
from aif_kam.results import WrittenResult
from aif_kam.start_times import moment_of
from aif_runtime.clock import rfc3339

API_KEY_HEADER = "X-API-Key"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
NAME_PATTERN = r"^[a-z][a-z0-9_]{0,63}$(?!\n)"
FORM_OF_A_NAME = "lower-case letters, digits and _, a letter first"
_CLIENT_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
_KEY_ID = re.compile(r"[0-9a-f]{16}")
CallerRequest = Request[None, Caller, State]
IdempotencyHeader = Annotated[
    str | None,
    HeaderParameter(
        name=HEADER,
        required=False,
        description="Makes a repeated call harmless: for 24 hours the same key with the same body is one effect and answer",
        schema_extra={"pattern": KEY_PATTERN},
    ),
]


def _client_parameter(description: str) -> QueryParameter:
    """Read by `named_client`, which says more of a wrong one than the framework would."""
    return QueryParameter(
        name="client_id", required=False, description=description, schema_extra={"pattern": _CLIENT_ID.pattern}
    )


OfClient = Annotated[str | None, _client_parameter("For an admin key: which client's, else the factory's")]
ListOfClient = Annotated[str | None, _client_parameter("For an admin key: which client's, else everybody's")]
OwnerClient = Annotated[str | None, _client_parameter("For an admin key: whose document it is")]
PageCursor = Annotated[
    str | None, QueryParameter(name="cursor", description="`next_cursor` of the page before", max_length=300)
]
_ID = re.compile(r"[a-z]{2,12}_[0-9A-Za-z_-]{1,64}(\.[0-9a-z_]{1,64})?")
"""A deliverable's id ends in its name, behind a dot."""
_LOST_PLUS = re.compile(r" (?=[0-9]{2}:[0-9]{2}$)")
"""A `+` in an address arrives as a space."""
Body = TypeVar("Body", bound=Struct)


class StrictJson(AbstractDTO[Body], Generic[Body]):
    """A JSON body read by `body_fields`, so that every wrong field is named."""

    config = DTOConfig()

    def decode_bytes(self, value: bytes) -> Body:
        plain_body(self.asgi_connection)
        media_type = self.asgi_connection.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in ("", "application/json") and not media_type.endswith("+json"):
            message = f"the body is {media_type}, but JSON is due"
            mistake = FieldMistake(field="Content-Type", message=message, mend="send JSON with Content-Type: application/json")
            raise UnsupportedBody(message, mistakes=(mistake,))
        return read_body(value, self.model_type)

    @classmethod
    def create_for_field_definition(
        cls, field_definition: FieldDefinition, handler_id: str, backend_cls: type[Any] | None = None
    ) -> None:
        """No transfer model is generated: the struct is the body."""

    @classmethod
    def create_openapi_schema(cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any) -> Reference:
        """The struct, which an optional body is as well when there is one, and no other fields."""
        reference: Reference = schema_creator.for_field_definition(FieldDefinition.from_annotation(cls.model_type))
        schema_creator.schema_registry.from_reference(reference).schema.additional_properties = False
        return reference

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Any:
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        return False


def plain_body(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    """Raises UnsupportedBody for a compressed one: how large it is would be known too late."""
    coding = connection.headers.get("content-encoding", "identity")
    if coding.strip().lower() not in ("", "identity"):
        message = f"the body is encoded as {coding[:40]!r}, but none is read here"
        mistake = FieldMistake(field="Content-Encoding", message=message, mend="send it uncompressed, without this header")
        raise UnsupportedBody(message, mistakes=(mistake,))


def key_guard(identity: Identity) -> Guard:
    """Lets in who has a valid API key, before the body is read, and who may only read nowhere but where something is read."""

    async def require_key(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
        caller = await identity.caller(connection.headers.get(API_KEY_HEADER))
        if caller.scope is Scope.READ and connection.scope.get("method") not in _READING:
            raise NotAllowed("this key may only read: use one of the scope order")
        connection.scope["auth"] = caller

    return require_key


async def require_admin(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """A guard behind the key's: lets in the operator alone."""
    caller: Caller = connection.scope["auth"]
    if caller.scope is not Scope.ADMIN:
        raise NotAllowed("this is for the operator: use an admin key")


async def require_manager(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """A guard behind the key's: lets in who may change keys."""
    caller: Caller = connection.scope["auth"]
    if not caller.scope.covers(Scope.MANAGE):
        raise NotAllowed("keys are changed with a key of the scope manage, or by the operator")


def known_id(text: str) -> str:
    """An id out of an address. Raises NotFound for what can be none, before it reaches the database."""
    if _ID.fullmatch(text) is None:
        raise NotFound(f"{text[:80]!r} is no id of anything here")
    return text


def id_cursor(text: str | None, prefix: str) -> str | None:
    """The id after which a page begins. Raises InvalidInput."""
    if text is not None and re.fullmatch(rf"{prefix}_[0-9A-Za-z]{{1,64}}", text) is None:
        raise invalid("cursor", "is no cursor", "use next_cursor of the page before, as it is")
    return text


def name_cursor(text: str | None) -> str | None:
    """The name after which a page begins. Raises InvalidInput."""
    if text is not None and re.fullmatch(NAME_PATTERN, text) is None:
        raise invalid("cursor", "is no cursor", "use next_cursor of the page before, as it is")
    return text


def named_client(text: str | None) -> str | None:
    """A client's id out of a query. Raises InvalidInput."""
    if text is not None and _CLIENT_ID.fullmatch(text) is None:
        raise invalid("client_id", "is no client's id", "use letters, digits, _ and -, 64 at most")
    return text


def named_workspace(text: str) -> str:
    """A workspace's id out of an address. Raises NotFound for what can be none."""
    if _CLIENT_ID.fullmatch(text) is None:
        raise NotFound(f"{text[:80]!r} is no id of anything here")
    return text


def known_key_id(text: str) -> str:
    """A key's id out of an address. Raises NotFound for what can be none."""
    if _KEY_ID.fullmatch(text) is None:
        raise NotFound(f"{text[:80]!r} is no id of a key", code="unknown_key")
    return text


def key_cursor(text: str | None) -> str | None:
    """The key after which a page begins. Raises InvalidInput."""
    if text is not None and _KEY_ID.fullmatch(text) is None:
        raise invalid("cursor", "is no cursor", "use next_cursor of the page before, as it is")
    return text


def client_cursor(text: str | None) -> str | None:
    """The client after which a page begins. Raises InvalidInput."""
    if text is not None and _CLIENT_ID.fullmatch(text) is None:
        raise invalid("cursor", "is no cursor", "use next_cursor of the page before, as it is")
    return text


def without_nul(text: str | None, *, field: str) -> str | None:
    """A text out of a query. Raises InvalidInput: Postgres has no NUL character."""
    if text is not None and "\x00" in text:
        raise invalid(field, "holds a NUL character", "remove it")
    return text


def query_moment(text: str | None, *, field: str) -> str | None:
    """A time out of a query, in UTC. Raises InvalidInput naming `field`, as the caller wrote it."""
    return None if text is None else rfc3339(moment_of(_LOST_PLUS.sub("+", text), field=field))


def page_cursor(text: str | None) -> str | None:
    """A cursor out of a query. Raises InvalidInput for what no page has said."""
    if text is not None and not (text.isascii() and text.isprintable()):
        raise invalid("cursor", "is no cursor", "use next_cursor of the page before, as it is")
    return text


def keyed(request: CallerRequest, client_id: str, key: str | None, body: bytes) -> KeyedCall | None:
    """`client_id` is OPERATOR for what concerns no client's things."""
    return keyed_call(client_id=client_id, key=key, target=f"{request.method} {request.scope['path']}", body=body)


def sent_result(result: WrittenResult) -> Response[Any]:
    headers = {"Content-Length": str(result.size_bytes)}
    return Stream(result.pieces, media_type=MediaType.JSON, headers=headers)
