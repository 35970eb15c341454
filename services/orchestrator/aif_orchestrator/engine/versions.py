"""The order of semantic versions."""

VersionRank = tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...], str]


def version_rank(version: str) -> VersionRank:
    """Sorts versions of a stored pipeline: a pre-release before its release, numbers in it by value and before words.

    What follows a + has no rank in the standard; here it makes an order out of what would be equal.
    """
    precedence, _, build = version.partition("+")
    numbers, _, pre_release = precedence.partition("-")
    identifiers = tuple(_identifier(part) for part in pre_release.split(".")) if pre_release else ()
    return tuple(int(part) for part in numbers.split(".")), not pre_release, identifiers, build


def _identifier(part: str) -> tuple[bool, int, str]:
    is_word = not part.isdigit()
    return is_word, 0 if is_word else int(part), part if is_word else ""
