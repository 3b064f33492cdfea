"""These tests need neither database nor broker."""

import pytest


@pytest.fixture(autouse=True)
def forget_rates() -> None:
    """Stands in for the fixture that clears the cache: there is none here."""
