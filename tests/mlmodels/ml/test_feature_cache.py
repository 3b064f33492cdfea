"""What is cached of a photo, and what is removed when it takes too much space."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlmodels.ml import layers
from mlmodels.ml.dataset import LabelledPhoto
from mlmodels.ml.engine import LiteRTEngine
from mlmodels.ml.features import (
    FeatureCache,
    extract_features,
    open_cache,
    photo_pixels,
    prune_cache,
)
from mlmodels.ml.layers import AVERAGE
from mlmodels.ml.reference import load_projections
from tests.support.networks import (
    LABELS,
    SMALLEST_INPUT,
    STATISTICS,
    drawn_dataset,
    random_head,
)

BYTES = 1000


def photo(name: str) -> LabelledPhoto:
    return LabelledPhoto(sha256=name, label=0, group=name, read=lambda: b"")


def filled(root: Path, stem: str, *names: str, age: int = 0) -> FeatureCache:
    """Fill a stem's folder with a file of BYTES per name, each a second newer than the last."""
    folder = root / "features" / stem
    folder.mkdir(parents=True)
    for place, name in enumerate(names):
        (folder / f"{name}.npy").write_bytes(bytes(BYTES))
        os.utime(folder / f"{name}.npy", (1_000_000 - age + place,) * 2)
    os.utime(folder, (1_000_000 - age,) * 2)
    return FeatureCache(folder, None, 32, 0, AVERAGE)


def left(cache: FeatureCache) -> list[str]:
    return sorted(path.stem for path in cache.folder.glob("*"))


def test_the_oldest_features_of_other_photos_go_first(tmp_path: Path) -> None:
    cache = filled(tmp_path, "now", "old-0", "used-0", "old-1", "new-0", "used-1")
    prune_cache(tmp_path, cache, [photo("used")], max_bytes=5 * BYTES)
    assert left(cache) == ["new-0", "old-0", "old-1", "used-0", "used-1"]
    prune_cache(tmp_path, cache, [photo("used")], max_bytes=4 * BYTES)
    assert left(cache) == ["new-0", "old-1", "used-0", "used-1"]
    prune_cache(tmp_path, cache, [photo("used")], max_bytes=2 * BYTES + 1)
    assert left(cache) == ["used-0", "used-1"]
    prune_cache(tmp_path, cache, [photo("used")], max_bytes=0)
    assert left(cache) == ["used-0", "used-1"], "a training needs them"


def test_other_stems_go_before_photos_of_this_one(tmp_path: Path) -> None:
    cache = filled(tmp_path, "now", "other-0", "used-0")
    older = filled(tmp_path, "older", "used-0", "used-1", age=200)
    old = filled(tmp_path, "old", "used-0", age=100)
    prune_cache(tmp_path, cache, [photo("used")], max_bytes=3 * BYTES)
    assert (left(cache), left(old), older.folder.exists()) == (
        ["other-0", "used-0"],
        ["used-0"],
        False,
    )
    prune_cache(tmp_path, cache, [photo("used")], max_bytes=BYTES)
    assert (left(cache), old.folder.exists()) == (["used-0"], False)


@pytest.fixture(scope="module")
def photos() -> list[LabelledPhoto]:
    return list(drawn_dataset(training=1, validation=1).photos)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a cache; the tests share its stems."""
    return tmp_path_factory.mktemp("cache")


def extracted(root: Path, weights, photos, cut: int, pooling: layers.Pooling) -> FeatureCache:
    cache = open_cache(root, weights, photos, cut=cut, input_size=SMALLEST_INPUT, pooling=pooling)
    pairs = [(photo, 0) for photo in photos]
    done = extract_features(
        cache, pairs, threads=2, progress=lambda *_: None, should_stop=lambda _: False
    )
    assert done == len(photos)
    return cache


@pytest.mark.parametrize("cut", [0, 4, 10])
def test_maps_are_cached_with_the_pooled_part_that_no_training_changes(
    root: Path, statistics_weights, photos, cut: int
) -> None:
    cache = extracted(root, statistics_weights, photos, cut, STATISTICS)
    features = cache.load([(photo.sha256, 0) for photo in photos])
    assert features["maps"].shape == (6, *layers.maps_shape(cut, SMALLEST_INPUT))
    assert features["maps"].dtype == (np.float16 if cut else np.uint8)
    frozen = STATISTICS.frozen_size(cut)
    assert ("pooled" in features) is (frozen > 0)
    if frozen:
        assert (features["pooled"].shape, features["pooled"].dtype) == ((6, frozen), np.float16)
    stored = cache.path(photos[0].sha256, 0).stat().st_size
    assert cache.photo_bytes <= stored <= cache.photo_bytes + 300, "two short headers"


def test_with_all_convolutions_frozen_the_cache_has_what_the_engine_answers_from(
    root: Path, network_weights, pooling, photos
) -> None:
    """A version whose convolutions were not trained is served by the stem itself."""
    cache = extracted(root, network_weights, photos, 13, pooling)
    features = cache.load([(photo.sha256, 0) for photo in photos])
    assert set(features) == {"pooled"}
    assert features["pooled"].shape == (6, pooling.size)
    if not pooling.is_average:
        engine = LiteRTEngine.load(cache.stem, network_weights, pooling)
        answered = [engine.score(photo_pixels(p, SMALLEST_INPUT)).embedding for p in photos]
        assert features["pooled"] == pytest.approx(np.stack(answered), rel=2e-3, abs=2e-3)


def test_features_of_another_pooling_or_projection_are_kept_apart(
    root: Path, statistics_weights, photos
) -> None:
    def folder(pooling: layers.Pooling, weights=statistics_weights, cut: int = 13) -> Path:
        return open_cache(
            root, weights, photos, cut=cut, input_size=SMALLEST_INPUT, pooling=pooling
        ).folder

    first = folder(STATISTICS)
    assert folder(STATISTICS) == first
    assert folder(layers.Pooling((3, 4, 5))) != first
    turned = {**statistics_weights, "head/projection": -statistics_weights["head/projection"]}
    assert folder(STATISTICS, turned) != first
    assert folder(STATISTICS, turned, cut=7) == folder(STATISTICS, cut=7)


def test_the_parts_of_the_default_pooling_share_its_features(
    root: Path, statistics_weights, photos
) -> None:
    whole = layers.DEFAULT_POOLING
    part = replace(whole, blocks=(4, 5), second_order=0)
    convolutions = {n: t for n, t in statistics_weights.items() if not n.startswith("head/")}
    cache = extracted(root, {**convolutions, **load_projections(whole)}, photos, 13, whole)
    of_part = open_cache(
        root, convolutions, photos, cut=13, input_size=SMALLEST_INPUT, pooling=part
    )
    assert of_part.folder == cache.folder
    pairs = [(photo.sha256, 0) for photo in photos]
    pooled = of_part.load(pairs)["pooled"]
    assert pooled.shape == (6, part.size)
    assert np.array_equal(pooled, cache.load(pairs)["pooled"][:, whole.columns(part)])
    head = random_head(len(LABELS), part)
    engine = LiteRTEngine.load(of_part.stem, head, part)  # it returns block3, too
    answered = [engine.score(photo_pixels(p, SMALLEST_INPUT)).embedding for p in photos]
    assert pooled == pytest.approx(np.stack(answered), rel=2e-3, abs=2e-3)
