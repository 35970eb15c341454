"""Parameters of an address: one that the address does not have, or that comes twice, is refused, for all routes that need a key
at once.

Ignored, a misspelt `dry_run` would store, and a misspelt filter would list everything; of two values one would be ignored. What
needs no key takes any: machines ask there, and add parameters of their own.
"""

from collections.abc import Sequence
from typing import Any

from litestar import Request
from litestar.datastructures import MultiDict
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter

from aif_contracts.orders import FieldMistake
from aif_kam.body_fields import unknown_names
from aif_kam.failures import InvalidInput

_ONCE = "give it once; where several values are possible, write commas between them"


async def refuse_unknown_parameters(request: Request[Any, Any, Any]) -> None:
    """Before a request is read, and after its key. Raises InvalidInput."""
    require_known(request.query_params, _known(request.route_handler))


def require_known(given: MultiDict[Any], known: Sequence[str]) -> None:
    """Raises InvalidInput with every parameter that is none of the known ones, or is given more than once."""
    mistakes = unknown_names(dict.fromkeys(given), known, of="parameter of this address")
    twice = [name for name in known if len(given.getall(name, ())) > 1]
    mistakes += [FieldMistake(field=name, message="is given more than once", mend=_ONCE) for name in twice]
    if mistakes:
        names = ", ".join(mistake.field for mistake in mistakes)
        raise InvalidInput(f"the address does not take what it is given: {names}", mistakes=mistakes)


def _known(handler: BaseRouteHandler) -> list[str]:
    """In the order of the route's signature."""
    parameters = handler.parsed_fn_signature.parameters
    kinds = ((name, definition.kwarg_definition) for name, definition in parameters.items())
    return [kind.name or name for name, kind in kinds if isinstance(kind, QueryParameter)]
