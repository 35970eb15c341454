"""Which factory a command speaks to, and with which key: what was asked for, the environment, or the one that runs here."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from aif_console.factory.keys import find_keys
from aif_console.factory.plan import DataFolder
from aif_console.factory.running import find_running
from aif_console.failures import BadInput, FactoryUnreachable, NoApiKey


class Reach(Struct, frozen=True, kw_only=True):
    url: str
    key: str
    folder: DataFolder
    """Of the factory on this machine; deliverables are saved below it."""


def find_reach(
    *, url: str | None, key: str | None, folder: DataFolder, environ: Mapping[str, str], as_operator: bool = False
) -> Reach:
    """The operator has a key and a variable of its own.

    Raises FactoryUnreachable, NoApiKey, CredentialsUnreadable, BadInput.
    """
    variable = "AIF_ADMIN_KEY" if as_operator else "AIF_API_KEY"
    named_url, named_key = url or environ.get("AIF_URL"), key or environ.get(variable)
    if named_url:
        _check_address("--url" if url else "AIF_URL", named_url)
    if named_key:
        _check_key("--key" if key else variable, named_key)
    return Reach(
        url=(named_url or _running_url(folder)).rstrip("/"),
        key=named_key or _own_key(folder, variable, as_operator=as_operator),
        folder=folder,
    )


def _check_address(field: str, named: str) -> None:
    """Raises BadInput."""
    try:
        parts = urlsplit(named)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or not named.isprintable() or " " in named:
        raise BadInput(field, f"{named!r} is no address of a factory", "write it as http://127.0.0.1:8420")


def _check_key(field: str, named: str) -> None:
    """Raises BadInput, which does not repeat the key."""
    if not named.isascii() or not named.isprintable() or named != named.strip():
        raise BadInput(field, "there is something in it that is in no key", "give the key as it was made: one line of ASCII")


def _running_url(folder: DataFolder) -> str:
    running = find_running(folder.running)
    if running is None:
        raise FactoryUnreachable(f"no factory runs over {folder.path}")
    return running.kam_url


def _own_key(folder: DataFolder, variable: str, *, as_operator: bool) -> str:
    try:
        keys = find_keys(folder.keys)
    except OSError as refused:
        raise NoApiKey(f"{folder.keys} cannot be read: {refused.strerror}", variable) from refused
    if keys is None:
        raise NoApiKey(f"there is none in {folder.keys}", variable)
    return keys.admin_key if as_operator else keys.client_key
