"""Words: what counts as one, which carry meaning, and which forms are the same word.

Chinese, Japanese and Thai write no spaces. Runs of their characters are compared by pairs of neighbours, which serves to
find similar sentences.
"""

# Typographic signs are meant as such, and word lists read best as running text.
# ruff: noqa: RUF001, SIM905

from aif_contracts.word_count import SPACELESS_RUN, TOKEN

STUDY_WORDS_PER_MINUTE = 130
"""Slower than plain reading (about 240), because a learner takes notes and goes back."""

STOPWORDS = frozenset(
    """a about above after again against all almost also although always am among an and another any are as at away back be
    because been before being below between both but by came can cannot could did do does doing done down during each either
    else enough even ever every few for from further get gets give given gives go goes had has have having he hence her here
    hers him his how however i if in indeed instead into is it its itself just keep kept least less like made make makes many
    may me mean means might mine more most mostly much must my near need needs neither never no nor not nothing now of off
    often on once one ones only onto or other others our out over own per perhaps put quite rather s same say says see seen
    shall she should since so some such take taken takes than that the their theirs them then there therefore these they
    this those though three through thus to together too toward two under until up upon us use used uses using usually very
    via was way we well were what when where whether which while who whom whose why will with within without would yet you
    your yours""".split()
)
_ENGLISH_SIGNS = frozenset("the of and to in is that for are with it as on be by this".split())


def tokens(text: str) -> list[str]:
    """Words, numbers and spaceless runs as they stand."""
    return TOKEN.findall(text)


def meaningful(text: str) -> list[str]:
    """The words that carry meaning, folded so that `Bee` and `bees` are one; spaceless runs as pairs of characters."""
    found: list[str] = []
    for token in TOKEN.findall(text):
        if SPACELESS_RUN.match(token):
            found.extend(token[i : i + 2] for i in range(max(1, len(token) - 1)))
            continue
        word = token.lower()
        if word not in STOPWORDS and (len(word) > 1 or word.isdigit()):
            found.append(folded(word))
    return found


def folded(word: str) -> str:
    """One form for singular and plural. Only the safe endings: a wrong merge costs more than a missed one."""
    word = word.lower().replace("’", "'").removesuffix("'s")
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def plain(text: str) -> str:
    """One form for texts that differ in case, white space and end mark alone: to a reader they say the same."""
    return " ".join(text.casefold().split()).rstrip(".!?")


def is_english(text: str) -> bool:
    """Whether English sentences of our own may stand beside this text. Judged on its first words."""
    words = [token.lower() for token in TOKEN.findall(text[:20_000])][:2_000]
    return bool(words) and sum(word in _ENGLISH_SIGNS for word in words) >= 0.12 * len(words)


def study_minutes(words: int) -> int:
    """Whole minutes, at least one, at `STUDY_WORDS_PER_MINUTE`."""
    return max(1, round(words / STUDY_WORDS_PER_MINUTE))
