"""These tests need neither database nor broker."""

import pytest


@pytest.fixture(autouse=True)
def clean_cache() -> None:
    """Stands in for the fixture that clears the cache: there is none here."""
