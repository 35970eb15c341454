"""Our own rules. Each looks for one kind, and its cost grows with the length of the text and not with its square."""

# Typographic signs are meant as such.
# ruff: noqa: RUF001

import re
from collections.abc import Callable, Iterator, Mapping

from aif_ai.local.pii.checksums import account_length, is_account_number, is_card_number
from aif_ai.local.pii.finding import Finding
from aif_contracts.analysis import PiiKind

Rule = Callable[[str], Iterator[Finding]]

_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?!\w)")
_ACCOUNT = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?=[ \n-]?[A-Za-z0-9])")
_CARD = re.compile(r"(?<![\d.,-])(?=((?:2[2-7]|[3-6][0-9])(?:[ \n-]?[0-9]){11,17}))")
_WRAPPED_CARD = re.compile(r"[0-9]{4}(?:[ -][0-9]{4}){0,2}\n[0-9]{4}(?:[ -][0-9]{4}){0,2}")
_INTERNATIONAL_PHONE = re.compile(r"(?<![\w+])(?:\+|00)[1-9][0-9]{0,2}(?:[ ./()-]{0,3}[0-9]){6,14}(?![\w])")
_NATIONAL_PHONE = re.compile(r"(?<![\w.+/-])\(?0[0-9]{1,5}\)?[ /-]{1,3}[0-9]{2,}(?:[ /-]?[0-9]{2,}){0,6}(?![\w-])")
_DATE = re.compile(r"(?:0[1-9]|[12][0-9]|3[01])([ /-])(?:0[1-9]|[12][0-9]|3[01])\1(?:19|20)[0-9]{2}(?![0-9])")
_SECRETS = re.compile(
    r"""
    -----BEGIN[ ][A-Z ]{0,40}PRIVATE[ ]KEY-----[\s\S]*?(?:-----END[ ][A-Z ]{0,40}PRIVATE[ ]KEY-----|\Z)
    | (?<![A-Za-z0-9])(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}
    | (?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])
    | (?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{20,}
    | (?<![A-Za-z0-9])github_pat_[A-Za-z0-9_]{20,}
    | (?<![A-Za-z0-9])glpat-[A-Za-z0-9_-]{16,}
    | (?<![A-Za-z0-9])xox[abeprs]-[A-Za-z0-9-]{10,}
    | (?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{30,}
    | (?<![A-Za-z0-9])af_(?:live|test)_[A-Za-z0-9_-]{8,}
    | (?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*
    """,
    re.VERBOSE,
)
_TOLD_SECRET = re.compile(
    r"(?i:\b(?:password|passwort|passphrase|api[ _-]?key|access[ _-]?token|secret[ _-]?key|pin)\b[ ]{0,3})"
    r"(?:[:=][ ]{0,3}[\"'“]?(?!\[)|(?:is|ist|lautet)[ ]{1,3}[\"'“]?(?!\[)(?=[^\s]{0,200}[0-9]))([^\s\"'“”,;]{4,200})"
)
"""After `is` only what has a digit: a password `is wrong` more often than it is `wrong`."""
_URL_PASSWORD = re.compile(r"(?<=://)[^\s/:@]{0,64}:([^\s/@]{1,200})(?=@)")
_NAME = r"[^\W\d_][\w'’-]{1,30}"
_TITLES = ("Mr", "Mrs", "Ms", "Miss", "Mister", "Dr", "Prof", "Mag", "Ing", "Sir", "Herr", "Herrn", "Frau")
_PARTICLES = ("van", "von", "de", "di", "da", "del", "der", "den", "dem", "la")
_GAP = r"(?:[ ]{1,2}|[ ]?\n[ ]{0,2})"
_WHOLE_NAME = r"(?:PART)?(?:INITIAL){0,3}NAME(?:[ ](?:PART)?(?:INITIAL){0,2}NAME){0,2}"
_WHOLE_NAME = _WHOLE_NAME.replace("INITIAL", r"[^\W\d_]\.[ ]?").replace("NAME", rf"(?!(?:der|den|dem|la)\b){_NAME}")
_WHOLE_NAME = _WHOLE_NAME.replace("PART", r"(?:van|von|de|di|da|del)[ ](?:(?:der|den|dem|la)[ ])?")
_TITLED = re.compile(rf"(?<!\w)(?:(?:{'|'.join(_TITLES)})\.?{_GAP})+(?P<name>{_WHOLE_NAME})")
_INTRODUCED = re.compile(
    r"(?i:\b(?:my|mein|her|his|their) name (?:is|ist)|\bI am called|\bich hei(?:ß|ss)e)".replace(" ", _GAP)
    + rf"{_GAP}(?P<name>{_WHOLE_NAME})"
)


def _matches(pattern: re.Pattern[str], kind: PiiKind, name: str, group: int = 0) -> Rule:
    def find(text: str) -> Iterator[Finding]:
        for match in pattern.finditer(text):
            start, end = match.span(group)
            yield Finding(kind=kind, start=start, end=end, found_by=f"rule:{name}")

    return find


def _cards(text: str) -> Iterator[Finding]:
    for match in _CARD.finditer(text):
        start = match.start()
        end = next((end for end in _ends_of_groups(text, start, match.end(1)) if _is_card(text[start:end])), None)
        if end is not None:
            yield Finding(kind=PiiKind.CREDIT_CARD, start=start, end=end, found_by="rule:card_checksum")


def _ends_of_groups(text: str, start: int, end: int) -> Iterator[int]:
    """The furthest first: behind a card's number there may be its date and its check digits."""
    yield from (at for at in range(end, start, -1) if text[at - 1].isdigit() and not text[at : at + 1].isdigit())


def _is_card(written: str) -> bool:
    """A line break stands only between groups of four: numbers below each other are a column."""
    if "\n" in written and not _WRAPPED_CARD.fullmatch(written):
        return False
    return is_card_number(re.sub("[ \n-]", "", written))


def _accounts(text: str) -> Iterator[Finding]:
    for match in _ACCOUNT.finditer(text):
        length = account_length(match.group()[:2].upper())
        if length is None:
            continue
        compact, end = _gathered(text, match.start(), length)
        if is_account_number(compact.upper()) and not text[end : end + 1].isalnum():
            yield Finding(kind=PiiKind.IBAN, start=match.start(), end=end, found_by="rule:account_checksum")


def _gathered(text: str, start: int, length: int) -> tuple[str, int]:
    """Letters and digits from `start`, with at most one space, hyphen or line break between two; and where they end."""
    found: list[str] = []
    position = start
    while len(found) < length and position < len(text):
        character = text[position]
        if character.isascii() and character.isalnum():
            found.append(character)
        elif character not in " -\n" or text[position - 1] in " -\n":
            break
        position += 1
    return "".join(found), position


def _phones(text: str) -> Iterator[Finding]:
    for pattern in (_INTERNATIONAL_PHONE, _NATIONAL_PHONE):
        for match in pattern.finditer(text):
            if not _DATE.match(match.group()) and 7 <= sum(map(str.isdigit, match.group())) <= 15:
                yield Finding(kind=PiiKind.PHONE, start=match.start(), end=match.end(), found_by="rule:phone")


def _persons(text: str) -> Iterator[Finding]:
    """Names that are announced as such; and then every word of them that looks like a name, wherever else it stands."""
    words: set[str] = set()
    for pattern in (_TITLED, _INTRODUCED):
        position = 0
        # Not `finditer`: the words behind a name may be what announces the next one, as in `Mr. Smith and Mrs. Jones`.
        while match := pattern.search(text, position):
            start = match.start("name")
            name = _capitalised(match.group("name"))
            position = start + len(name)
            if name:
                words.update(word for word in name.split() if word[0].isupper() and "." not in word)
                yield Finding(kind=PiiKind.PERSON, start=start, end=position, found_by="rule:announced_name")
    if words:
        for match in re.finditer(rf"(?<!\w){_NAME}(?!\w)", text):
            word = _without_possessive(match.group())
            if word in words:
                start = match.start()
                yield Finding(kind=PiiKind.PERSON, start=start, end=start + len(word), found_by="rule:announced_name")


def _capitalised(words: str) -> str:
    """The words up to the first that is not written like a name, or is a title."""
    end = 0
    for word in re.finditer(r"\S+", words):
        if word.group() in _PARTICLES:
            continue
        if not word.group()[0].isupper() or word.group() in _TITLES:
            break
        end = word.end()
    return _without_possessive(words[:end])


def _without_possessive(name: str) -> str:
    return re.sub(r"['’][sS]?\Z", "", name)


RULES: Mapping[PiiKind, tuple[Rule, ...]] = {
    PiiKind.API_KEY: (
        _matches(_SECRETS, PiiKind.API_KEY, "secret_shape"),
        _matches(_TOLD_SECRET, PiiKind.API_KEY, "told_secret", group=1),
        _matches(_URL_PASSWORD, PiiKind.API_KEY, "password_in_url", group=1),
    ),
    PiiKind.IBAN: (_accounts,),
    PiiKind.CREDIT_CARD: (_cards,),
    PiiKind.EMAIL: (_matches(_EMAIL, PiiKind.EMAIL, "email"),),
    PiiKind.PHONE: (_phones,),
    PiiKind.PERSON: (_persons,),
}
"""By the kind that they find, the surest first."""
