"""What people read or hear of a page, and which of it is not in French."""

import re
from html.parser import HTMLParser

SPOKEN = {
    "title", "alt", "placeholder", "aria-label", "aria-description", "aria-valuetext", "label",
}  # fmt: skip
"""Attributes whose texts people see or hear; so are those of `data-…` that have a space."""
UNSEEN = {"script", "style", "template"}
NEUTRAL = {"code", "kbd", "pre", "samp"}
"""Elements for what no language changes: commands, settings, sums."""
VOID = {
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track",
    "wbr",
}  # fmt: skip

WORD = re.compile(r"[^\W\d_]{2,}")
ENGLISH = re.compile(
    r"\b(the|of|and|is|are|was|were|been|has|have|had|with|without|this|that|these|those|from|by|"
    r"which|not|to|it|its|for|when|where|who|how|yet|than|then|there|their|they|you|your|if|at|"
    r"only|each|every|most|more|after|before|between|again|what|in|be|do|does|did|no)\b",
    re.IGNORECASE,
)
"""Small English words that are no French ones: a text with one of them is English, at least
partly."""
ENGLISH_NUMBER = re.compile(r"(?<![\d.])\d+\.\d+(?![\d.])")
"""A number with a decimal point, where French has a comma."""


class PageTexts(HTMLParser):
    """Collects the texts of a page in their order: of elements, and of attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._around: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag == "meta":
            return
        is_told = self._is_told()
        self._around.append((tag, is_told and not self._is_neutral(tag, given)))
        if self._is_told():
            self.texts += [
                text
                for name, text in given.items()
                if name in SPOKEN or (name.startswith("data-") and " " in text.strip())
            ]
            if tag == "input" and given.get("type") in ("submit", "button", "reset"):
                self.texts.append(given.get("value", ""))
        if tag in VOID:
            self._around.pop()

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in [name for name, _ in self._around]:
            while self._around.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self._is_told():
            self.texts.append(data)

    def _is_told(self) -> bool:
        return not self._around or self._around[-1][1]

    def _is_neutral(self, tag: str, given: dict[str, str]) -> bool:
        """Return whether nothing in an element is to be translated: it is Latin, or code."""
        in_own_language = tag != "html" and bool(given.get("lang"))
        return tag in UNSEEN | NEUTRAL or in_own_language or given.get("translate") == "no"


def texts_of(page: str) -> list[str]:
    """Return the texts with words of a page, each with single spaces."""
    parser = PageTexts()
    parser.feed(page)
    told = (" ".join(text.split()) for text in parser.texts)
    return [text for text in told if WORD.search(text)]


def not_french(english: str, french: str, *, neutral: re.Pattern[str]) -> list[str]:
    """Return what is not in French in the French of two pages that are the same otherwise.

    These are texts that stand in the English page, too; texts with an English word; and numbers
    with a decimal point. What `neutral` finds counts for nothing: names, and words that both
    languages have.
    """
    known = {neutral.sub("", text) for text in texts_of(english)}
    found = []
    for text in texts_of(french):
        rest = neutral.sub("", text)
        is_same = bool(WORD.search(rest)) and rest in known
        if is_same or ENGLISH.search(rest) or ENGLISH_NUMBER.search(rest):
            found.append(text)
    return list(dict.fromkeys(found))
