"""Fixtures: a stack with drawn photos, and a browser in which Bob is logged in."""

import os
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
import requests
from PIL import Image

from tests.support.chromium import Chromium, find_chromium
from tests.support.drawings import (
    candidate_version,
    draw_evaluation_photos,
    draw_training_photos,
    mushroom,
)
from tests.support.stack import Stack, stack_in_a_folder

PREDICTED = range(500, 516)
"""Seeds of the drawings for which alice requested predictions."""


@pytest.fixture(scope="session")
def chromium_program() -> str:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on PATH: install it or name it in CHAMPIPY_BROWSER")
    return program


@pytest.fixture(scope="module")
def stack(chromium_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Yield a stack with training and evaluation photos, predictions and a version in Staging."""
    folder = tmp_path_factory.mktemp("drawn")
    candidate = candidate_version(folder / "candidate")
    draw_training_photos(folder / "training")
    draw_evaluation_photos(folder / "evaluation", candidate)
    with stack_in_a_folder() as stack:
        for arguments in (
            ("up", "--detach", "--port", str(stack.port)),
            ("import_photos", str(folder / "training"), "--split", "training"),
            (
                "import_photos",
                str(folder / "evaluation"),
                "--split",
                "evaluation",
                "--allow-resembling",
            ),
            ("register_model", str(candidate)),
        ):
            done = stack(*arguments)
            assert done.returncode == 0, done.stdout + done.stderr
        predict(stack, [mushroom(seed) for seed in PREDICTED])
        yield stack


def predict(stack: Stack, photos: list[bytes]) -> None:
    """Request predictions of the photos as alice."""
    base = f"http://127.0.0.1:{stack.port}/api/v1"
    login = {"username": "alice", "password": "wonderland"}
    token = requests.post(f"{base}/token", json=login, timeout=30).json()["token"]
    headers = {"Authorization": f"Token {token}", "Prefer": "wait=30"}
    for photo in photos:
        answer = requests.post(
            f"{base}/predictions",
            headers=headers,
            files={"file": ("drawing.jpg", photo)},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text


@pytest.fixture
def browser(stack: Stack, chromium_program: str, tmp_path: Path) -> Iterator[Chromium]:
    """Yield a browser on the first page of the admin, where Bob has just logged in."""
    browser = Chromium(chromium_program, f"http://127.0.0.1:{stack.port}", tmp_path)
    try:
        browser.open("/admin/")
        browser.fill("#id_username", "bob")
        browser.fill("#id_password", "builder")
        browser.press("Enter")
        browser.find("#dashboard")
        yield browser
        browser.check()
    finally:
        browser.close()


@pytest.fixture
def take_screenshot(browser: Chromium) -> Callable[[str, int], None]:
    """Return a function that saves the top of the page, `height` pixels, as NAME.webp.

    It saves to the folder CHAMPIPY_SCREENSHOTS, and does nothing if that is not set.
    """

    def save(name: str, height: int) -> None:
        if folder := os.environ.get("CHAMPIPY_SCREENSHOTS"):
            image = Image.open(BytesIO(browser.screenshot(height)))
            image.convert("RGB").save(Path(folder) / f"{name}.webp", quality=80, method=6)

    return save
