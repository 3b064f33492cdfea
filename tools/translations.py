"""The catalogue of translations: collects the texts that the sources mark, and compiles it.

    .venv/bin/python -m tools.translations

It brings `champipy_site/locale/fr/LC_MESSAGES/django.po` up to date (translations stay, texts that
no source has any more go) and compiles it. Django's own `makemessages` needs GNU gettext, which a
fresh machine lacks; this needs Babel. Tests say what the catalogue lacks.
"""

import io
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

PROJECT = Path(__file__).resolve().parent.parent
APPS = (
    *("accounts", "champipy_site", "common", "mlmodels", "observations", "predictions"),
    "supervision",
)
CATALOGUE = PROJECT / "champipy_site" / "locale" / "fr" / "LC_MESSAGES" / "django.po"
KEYWORDS: dict[str, Any] = {
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "_": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "Message": None,
    "CountedMessage": (1, 2),
    "PhotoError": (2,),
    "phrase": None,
    "translatable": None,
}
"""What marks a text: a function or class, and which of its arguments the text is."""


def sources() -> Iterator[Path]:
    """Return the Python files and templates whose texts people see."""
    for app in APPS:
        for path in sorted((PROJECT / app).rglob("*")):
            is_template = path.suffix in (".html", ".txt", ".js") and "templates" in path.parts
            if (path.suffix == ".py" and "migrations" not in path.parts) or is_template:
                yield path


def marked_texts(paths: Iterable[Path]) -> Catalog:
    """Return an empty catalogue of the texts that these files mark, with the files' names."""
    catalogue = Catalog(locale="fr", charset="utf-8")
    for path in paths:
        name, source = path.relative_to(PROJECT).as_posix(), path.read_text()
        if path.suffix == ".js":
            source = "\n".join(f"{call})" for call in re.findall(r'\bphrase\(\s*"[^"]+"', source))
        elif path.suffix != ".py":
            source = _as_python(source, name)
        for _line, text, comments, context in extract(
            "python", io.BytesIO(source.encode()), KEYWORDS, ["Translators:"]
        ):
            catalogue.add(text, None, [(name, 1)], auto_comments=comments, context=context)
    return catalogue


def _as_python(template: str, name: str) -> str:
    """Return a template as text that Babel reads as Python: the calls that mark its texts."""
    lines = templatize(template, origin=name).splitlines()
    return "\n".join(line.strip() for line in lines)


def catalogue_read() -> Catalog:
    """Return the catalogue as it is stored."""
    with CATALOGUE.open("rb") as file:
        return read_po(file, locale="fr")


def catalogue_write(catalogue: Catalog) -> None:
    """Store a catalogue below the header that the file has, and compile it."""
    header = CATALOGUE.read_text().partition("\n\n")[0].rstrip("\n")
    body = io.BytesIO()
    write_po(body, catalogue, width=100, sort_by_file=True, include_lineno=False, omit_header=True)
    CATALOGUE.write_text(f"{header}\n\n{body.getvalue().decode().lstrip()}")
    CATALOGUE.with_suffix(".mo").write_bytes(compiled(catalogue))


def compiled(catalogue: Catalog) -> bytes:
    """Return a catalogue in the form that Django reads, without a date of its own."""
    catalogue.creation_date = catalogue.revision_date = datetime(2000, 1, 1, tzinfo=UTC)
    file = io.BytesIO()
    write_mo(file, catalogue)
    return file.getvalue()


def catalogue_update() -> list[str]:
    """Bring the catalogue up to date; return the texts that have no translation yet."""
    catalogue = catalogue_read()
    catalogue.update(marked_texts(sources()), no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    catalogue_write(catalogue)
    return [str(message.id) for message in catalogue if not is_translated(message)]


def is_translated(message: Message) -> bool:
    """Return whether a text is translated in each of its forms."""
    strings = message.string if isinstance(message.string, tuple | list) else (message.string,)
    return all(strings) or not message.id


if __name__ == "__main__":
    missing = catalogue_update()
    for text in missing:
        print(f"not translated: {text!r}")
    print(f"{CATALOGUE.relative_to(PROJECT)} is up to date and compiled.")
    sys.exit(bool(missing))
