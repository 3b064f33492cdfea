import hashlib
import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mlmodels.ml.artifact import ArtifactError, read_artifact, write_artifact
from tests.support.networks import LABELS, SMALLEST_INPUT

CHANGED = ("block5_conv3", "head")


@pytest.fixture(scope="session")
def written(tmp_path_factory, engine_file, network_weights):
    """Return the folder of a valid model version; tests change copies of it."""
    folder = tmp_path_factory.mktemp("artifact") / "VGG16-1"
    write_artifact(
        folder,
        name="VGG16",
        labels=LABELS,
        input_size=SMALLEST_INPUT,
        temperature=1.25,
        engine=engine_file,
        weights=network_weights,
        changed_layers=CHANGED,
        backbone="b" * 64,
        dataset_hash="d" * 64,
        seed=7,
        metrics={"note": "measured nowhere"},
        recipe={"epochs": 3},
    )
    return folder


@pytest.fixture
def folder(written, tmp_path):
    return shutil.copytree(written, tmp_path / "VGG16-1")


def change_card(folder, **fields):
    path = folder / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def replace_weights(folder, content):
    """Replace the weights, and their size and SHA-256 in the card."""
    (folder / "weights.safetensors").write_bytes(content)
    files = json.loads((folder / "card.json").read_text())["files"]
    files["weights.safetensors"] = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
    }
    change_card(folder, files=files)


def change_tensors(folder, change):
    tensors = load_file(folder / "weights.safetensors")
    change(tensors)
    save_file(tensors, folder / "changed")
    content = (folder / "changed").read_bytes()
    (folder / "changed").unlink()
    replace_weights(folder, content)


def test_a_model_version_is_read_back_as_it_was_written(folder):
    card = read_artifact(folder).card
    assert (card.name, card.labels, card.input_size) == ("VGG16", LABELS, SMALLEST_INPUT)
    assert (card.temperature, card.seed, card.changed_layers) == (1.25, 7, CHANGED)
    assert (card.backbone, card.dataset_hash) == ("b" * 64, "d" * 64)
    assert card.metrics == {"note": "measured nowhere"}
    assert card.recipe == {"epochs": 3}
    assert card.packages["numpy"] == np.__version__
    assert {p.name for p in folder.iterdir()} == {
        "card.json", "engine.tflite", "weights.safetensors", "README.md",
    }  # fmt: skip


def test_weights_come_back_as_float32(folder, network_weights):
    weights = read_artifact(folder).load_weights()
    assert set(weights) == {
        "block5_conv3/kernel", "block5_conv3/bias",
        "head/kernel", "head/bias",
    }  # fmt: skip
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    assert np.array_equal(weights["head/kernel"], network_weights["head/kernel"])
    kernel = network_weights["block5_conv3/kernel"]
    assert np.allclose(weights["block5_conv3/kernel"], kernel, rtol=1e-3, atol=1e-6)


def test_a_model_version_is_never_overwritten(folder, engine_file, network_weights):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ArtifactError, match="already exists"):
        write_artifact(
            folder, name="VGG16", labels=LABELS, input_size=SMALLEST_INPUT, temperature=1.0,
            engine=engine_file, weights=network_weights, changed_layers=CHANGED, backbone="b",
            dataset_hash="d", seed=0, metrics={}, recipe={},
        )  # fmt: skip
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": LABELS[:2]}, "expected float32 .*2"),
        ({"input_size": 64}, "the engine takes 32 pixels"),
        ({"temperature": float("nan")}, "can't be read|not JSON compliant"),
        ({"metrics": {"accuracy": float("inf")}}, "not JSON compliant"),
        ({"weights": {}}, "block5_conv3"),
    ],
)
def test_a_failed_write_leaves_no_files(tmp_path, engine_file, network_weights, changes, message):
    arguments = {
        "name": "VGG16", "labels": LABELS, "input_size": SMALLEST_INPUT, "temperature": 1.0,
        "engine": engine_file, "weights": network_weights, "changed_layers": CHANGED,
        "backbone": "b", "dataset_hash": "d", "seed": 0, "metrics": {}, "recipe": {},
    }  # fmt: skip
    with pytest.raises(ArtifactError, match=message):
        write_artifact(tmp_path / "version", **(arguments | changes))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["evil.py", "model.pkl", ".hidden", "engine.tflite.bak"])
def test_an_unknown_file_in_the_folder_is_refused(folder, name):
    (folder / name).write_text("")
    with pytest.raises(ArtifactError, match="do not belong"):
        read_artifact(folder)


@pytest.mark.parametrize("name", ["card.json", "engine.tflite", "weights.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        read_artifact(folder)


def test_a_symlink_is_refused(folder, tmp_path):
    (folder / "engine.tflite").rename(tmp_path / "elsewhere")
    (folder / "engine.tflite").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="not a regular file"):
        read_artifact(folder)


def test_a_changed_byte_is_refused(folder):
    content = bytearray((folder / "engine.tflite").read_bytes())
    content[-100] ^= 1
    (folder / "engine.tflite").write_bytes(content)
    with pytest.raises(ArtifactError, match="not have the SHA-256 in its card"):
        read_artifact(folder)


def test_a_truncated_file_is_refused(folder):
    content = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(content[:-1])
    with pytest.raises(ArtifactError, match="bytes; the card says"):
        read_artifact(folder)


def test_pickles_in_place_of_weights_are_never_loaded(folder, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (print, ("executed",), None)

    np.savez(tmp_path / "bomb.npz", head=np.array([Bomb()], dtype=object))
    replace_weights(folder, (tmp_path / "bomb.npz").read_bytes())
    with pytest.raises(ArtifactError, match="can't be read as safetensors"):
        read_artifact(folder)


def test_a_tensor_of_another_shape_is_refused(folder):
    change_tensors(folder, lambda t: t.update({"head/bias": np.zeros(4, np.float32)}))
    with pytest.raises(ArtifactError, match=r"head/bias is float32 \[4\], expected float32 \[3\]"):
        read_artifact(folder)


def test_a_tensor_of_another_dtype_is_refused(folder):
    change_tensors(folder, lambda t: t.update({"head/bias": np.zeros(3, np.float64)}))
    with pytest.raises(ArtifactError, match="head/bias is float64"):
        read_artifact(folder)


def test_a_tensor_that_is_not_finite_is_refused(folder):
    bias = np.array([0, np.nan, 0], np.float32)
    change_tensors(folder, lambda t: t.update({"head/bias": bias}))
    with pytest.raises(ArtifactError, match="not finite"):
        read_artifact(folder)


def test_an_unexpected_tensor_is_refused(folder):
    change_tensors(folder, lambda t: t.update({"block1_conv1/bias": np.zeros(64, np.float16)}))
    with pytest.raises(ArtifactError, match=r"does not name: \['block1_conv1/bias'\]"):
        read_artifact(folder)


def test_a_missing_tensor_is_refused(folder):
    change_tensors(folder, lambda t: t.pop("head/bias"))
    with pytest.raises(ArtifactError, match=r"lacks .*head/bias"):
        read_artifact(folder)


def test_labels_that_do_not_fit_the_weights_are_refused(folder):
    change_card(folder, labels=[*LABELS, "One more"])
    with pytest.raises(ArtifactError, match=r"head/(bias|kernel) is"):
        read_artifact(folder)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("format", "champipy-model-1", "format"),
        ("preprocessing", "rgb-crop-v0", "rgb-crop-v0"),
        ("labels", ["Same", "Same", "Other"], "all different"),
        ("labels", "abc", "list of strings"),
        ("labels", ["only one"], "two or more"),
        ("temperature", 0, "positive"),
        ("temperature", "1.0", "positive"),
        ("temperature", True, "positive"),
        ("input_size", 224.0, "integer"),
        ("changed_layers", ["block5_conv3"], "changed_layers"),
        ("changed_layers", ["head", "block5_conv3"], "changed_layers"),
        ("changed_layers", ["../head", "head"], "changed_layers"),
        ("files", {}, "files must be"),
        ("metrics", [], "metrics must be an object"),
    ],
)
def test_a_card_with_an_invalid_field_is_refused(folder, field, value, message):
    change_card(folder, **{field: value})
    with pytest.raises(ArtifactError, match=message):
        read_artifact(folder)


@pytest.mark.parametrize("name", ["../engine.tflite", "/etc/passwd", "sub/engine.tflite"])
def test_a_card_can_not_name_files_outside_the_folder(folder, name):
    files = json.loads((folder / "card.json").read_text())["files"]
    files[name] = files.pop("engine.tflite")
    change_card(folder, files=files)
    with pytest.raises(ArtifactError, match="and no others"):
        read_artifact(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": NaN}', "[" * 100_000])
def test_a_card_that_is_not_a_json_object_is_refused(folder, text):
    (folder / "card.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"card\.json"):
        read_artifact(folder)


def test_an_unknown_field_in_the_card_is_refused(folder):
    change_card(folder, run_this="rm")
    with pytest.raises(ArtifactError, match="run_this"):
        read_artifact(folder)


def test_an_engine_of_another_input_size_than_the_card_is_refused(folder):
    change_card(folder, input_size=224)
    with pytest.raises(ArtifactError, match="takes 32 pixels"):
        read_artifact(folder).load_engine()
