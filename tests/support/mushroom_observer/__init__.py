"""A replica of Mushroom Observer for tests and for trying things by hand.

Made from what its source says of API2, its pages and its manners; `tests/observations/
mushroom_observer/test_replica.py` lists that point by point. It shares no code with ChampiPy.
"""

from tests.support.mushroom_observer.manners import Manners
from tests.support.mushroom_observer.server import MushroomObserver, Request
from tests.support.mushroom_observer.world import World

__all__ = ["Manners", "MushroomObserver", "Request", "World"]
