"""How many words a text has, in any script.

Chinese, Japanese and Thai write no spaces: `CHARACTERS_PER_WORD` of their characters count as a word.
"""

# Typographic signs are meant as such.
# ruff: noqa: RUF001

import re

CHARACTERS_PER_WORD = 2
SPACELESS = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
"""Ranges of a character class."""
_INDIC = "".join(
    f"{chr(block)}-{chr(block + 3)}{chr(block + 0x3A)}-{chr(block + 0x4F)}{chr(block + 0x51)}-{chr(block + 0x57)}"
    f"{chr(block + 0x62)}{chr(block + 0x63)}"
    for block in range(0x900, 0xE00, 0x80)
)
_MARKS = f"\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670\u200c\u200d{_INDIC}"
"""Accents, points and vowel signs: parts of a word, though not letters."""
_LETTERS = rf"[^\W\d_{SPACELESS}]+(?:[{_MARKS}]+[^\W\d_{SPACELESS}]*)*"
TOKEN = re.compile(rf"[{SPACELESS}]+|{_LETTERS}(?:['’\-]{_LETTERS})*|\d+(?:[.,]\d+)*")
SPACELESS_RUN = re.compile(rf"[{SPACELESS}]+")


def count_words(text: str) -> int:
    """Words, with spaceless scripts counted by characters."""
    total = 0
    for token in TOKEN.findall(text):
        total += -(-len(token) // CHARACTERS_PER_WORD) if SPACELESS_RUN.match(token) else 1
    return total
