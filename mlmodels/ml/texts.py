"""Marks texts for translation, without a framework that translates."""


def translatable(text: str) -> str:
    """Return the text as it is: tools/translations.py collects it, and pages translate it."""
    return text
