import pytest

from tests.support.mushroom_observer import MushroomObserver
from tests.support.writes import Messages


@pytest.fixture
def site(mushroom_observer: MushroomObserver) -> MushroomObserver:
    return mushroom_observer


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> Messages:
    """Let this process do what workers are told to, at once."""
    return Messages(monkeypatch)
