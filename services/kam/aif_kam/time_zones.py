"""Time zones that a client may name: those of the IANA database that are the same everywhere."""

import difflib
import zoneinfo

from aif_contracts.orders import FieldMistake

_NO_PLACES = frozenset({"localtime", "Factory"})
"""In the zone database, but another time on every machine."""


def zone_mistake(name: str) -> FieldMistake | None:
    """Of the field `timezone`; None for a zone that there is."""
    if _is_zone(name):
        return None
    near = difflib.get_close_matches(name, zoneinfo.available_timezones() - _NO_PLACES, 1)
    mend = f"did you mean {near[0]}?" if near else "name a zone of the IANA database, for example Europe/Berlin or UTC"
    return FieldMistake(field="timezone", message=f"{name[:60]!r} is no time zone", mend=mend)


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return name not in _NO_PLACES
