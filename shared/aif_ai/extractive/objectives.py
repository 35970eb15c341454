"""What a learner can do after a lesson, worded from its heading and its terms. English only."""

import re
from collections.abc import Sequence

_MOST_TERMS = 2
_QUESTION = re.compile(r"^(?:how|why|what|when|where|which)\b", re.IGNORECASE)
_LONGEST = 300


def objectives_for(title: str, terms: Sequence[str]) -> list[str]:
    """One objective from the title and up to two from terms."""
    objectives = [_from_title(title)]
    objectives.extend(f"Say in your own words what is meant by “{term}”." for term in terms[:_MOST_TERMS])
    return [objective for objective in objectives if len(objective) <= _LONGEST] or ["Name the main points of this lesson."]


def _from_title(title: str) -> str:
    bare = title.rstrip("?.!")
    if _QUESTION.match(bare) and ";" not in bare:
        return f"Explain {bare[0].lower()}{bare[1:]}."
    return f"Name the main points of “{bare}”."
