"""Small dumps, and the command that imports them."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pytest
from django.core.management import call_command

from tests.support.dumps import write_dumps
from tests.support.mushroom_observer import MushroomObserver, World
from tests.support.mushroom_observer.content import fill_world


class Output(NamedTuple):
    out: str
    err: str


@pytest.fixture
def world() -> World:
    """Return what a replica knows, with photos that are drawn."""
    world = World()
    fill_world(world, observations=30, photos=Path("/none"))
    return world


@pytest.fixture
def folder(tmp_path: Path, world: World) -> Path:
    """Write the dumps of that world into a folder."""
    write_dumps(tmp_path, world)
    return tmp_path


@pytest.fixture
def drawn_site(mushroom_observer: MushroomObserver) -> MushroomObserver:
    """Return the replica that serves images, all of them drawn."""
    for image in mushroom_observer.world.images.values():
        image.source = str(image.id)
    return mushroom_observer


@pytest.fixture
def run() -> Callable[..., Output]:
    def run(folder: Path, *options: str) -> Output:
        out, err = StringIO(), StringIO()
        call_command("import_mushroom_observer", str(folder), *options, stdout=out, stderr=err)
        return Output(out.getvalue(), err.getvalue())

    return run
