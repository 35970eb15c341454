"""Which factory a command speaks to, and with which key: what was asked for, the environment, or the one that runs here."""

from collections.abc import Mapping

from msgspec import Struct

from aif_console.factory.keys import find_keys
from aif_console.factory.plan import DataFolder
from aif_console.factory.running import find_running
from aif_console.failures import FactoryUnreachable, NoApiKey


class Reach(Struct, frozen=True, kw_only=True):
    url: str
    key: str
    folder: DataFolder
    """Of the factory on this machine; deliverables are saved below it."""


def find_reach(
    *, url: str | None, key: str | None, folder: DataFolder, environ: Mapping[str, str], as_operator: bool = False
) -> Reach:
    """The operator has a key and a variable of its own. Raises FactoryUnreachable, NoApiKey, CredentialsUnreadable."""
    variable = "AIF_ADMIN_KEY" if as_operator else "AIF_API_KEY"
    return Reach(
        url=(url or environ.get("AIF_URL") or _running_url(folder)).rstrip("/"),
        key=key or environ.get(variable) or _own_key(folder, variable, as_operator=as_operator),
        folder=folder,
    )


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
