"""Which cached features are removed when they take too much space."""

import os
from pathlib import Path

from mlmodels.ml.dataset import LabelledPhoto
from mlmodels.ml.features import FeatureCache, prune_cache

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
    return FeatureCache(folder, None, 32)


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
