"""./champipy predict: answers on the terminal, without workers."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from predictions.models import Prediction
from tests.support.photo_server import PhotoServer
from tests.support.photos import drawn_photo

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("production")]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "a photo.jpg"
    path.write_bytes(drawn_photo(1))
    return path


def predict(*arguments: str) -> str:
    out = StringIO()
    call_command("predict", *arguments, stdout=out)
    return out.getvalue()


def test_predict_prints_the_species_of_a_file(photo: Path) -> None:
    out = predict(str(photo), "-n", "3")
    prediction = Prediction.objects.get()
    for species, score in prediction.inference.best(3):
        assert f"{score:6.2f} %  {species}" in out
    assert len(out.splitlines()) == 4


def test_predicting_a_url_reuses_the_inference_of_a_file(
    photo, photo_server: PhotoServer, settings
) -> None:
    settings.CHAMPIPY_FETCH_ALLOW = frozenset({photo_server.address})
    predict(str(photo))
    assert "answered from the stored inference" in predict(photo_server.url("drawn.jpg"))


def test_predict_explains_errors(tmp_path: Path) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("no photo")
    with pytest.raises(CommandError, match="not_an_image"):
        predict(str(text))
    with pytest.raises(CommandError, match="cannot be read"):
        predict(str(tmp_path / "missing.jpg"))
    with pytest.raises(CommandError, match="from 1 to 10"):
        predict(str(text), "-n", "11")
