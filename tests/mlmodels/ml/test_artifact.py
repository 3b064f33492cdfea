import hashlib
import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mlmodels.ml.answer_calibration import calibrate
from mlmodels.ml.answers import answer
from mlmodels.ml.artifact import ArtifactError, read_artifact, write_artifact
from mlmodels.ml.card import FORMAT, FORMAT_2
from mlmodels.ml.engine import LiteRTEngine
from mlmodels.ml.layers import AVERAGE, Pooling
from tests.support.networks import LABELS, SMALLEST_INPUT, STATISTICS
from tests.support.outputs import SPECIES, made_up_outputs

CHANGED = ("block5_conv3", "head")
POOLING = {"blocks": [3, 4, 5], "second_order": 8, "second_order_blocks": [4, 5], "centre": 0.45}


@pytest.fixture(scope="session")
def calibration():
    """Return the calibration of a network that knows `LABELS` and other species."""
    outputs = made_up_outputs(1, n_known=500, n_other=100)
    kept = (outputs.labels < len(LABELS)) | (outputs.labels == SPECIES)
    return calibrate(
        outputs.logits[kept][:, [0, 1, 2, SPECIES]],
        outputs.lognorm[kept],
        np.minimum(outputs.labels[kept], len(LABELS)),
        outputs.groups[kept],
        n_labels=len(LABELS),
    )


@pytest.fixture(scope="session")
def arguments(calibration, statistics_engine, statistics_weights):
    """Return what `write_artifact` takes besides the folder."""
    return {
        "name": "VGG16",
        "labels": LABELS,
        "input_size": SMALLEST_INPUT,
        "temperature": 1.25,
        "pooling": STATISTICS,
        "calibration": calibration,
        "engine": statistics_engine,
        "weights": statistics_weights,
        "changed_layers": CHANGED,
        "backbone": "b" * 64,
        "dataset_hash": "d" * 64,
        "seed": 7,
        "metrics": {"note": "measured nowhere"},
        "recipe": {"epochs": 3},
    }


@pytest.fixture(scope="session")
def written(tmp_path_factory, arguments):
    """Return the folder of a valid model version; tests change copies of it."""
    folder = tmp_path_factory.mktemp("artifact") / "VGG16-1"
    write_artifact(folder, **arguments)
    return folder


@pytest.fixture(scope="session")
def average_arguments(arguments, average_engine, average_weights):
    """Return the arguments of a version that has no calibration and knows no other species."""
    return arguments | {
        "pooling": AVERAGE,
        "calibration": None,
        "engine": average_engine,
        "weights": average_weights,
    }


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


def test_a_model_version_is_read_back_as_it_was_written(folder, calibration):
    card = read_artifact(folder).card
    assert (card.name, card.labels, card.input_size) == ("VGG16", LABELS, SMALLEST_INPUT)
    assert (card.temperature, card.seed, card.changed_layers) == (1.25, 7, CHANGED)
    assert (card.backbone, card.dataset_hash) == ("b" * 64, "d" * 64)
    assert (card.format, card.pooling, card.knows_others) == (FORMAT, STATISTICS, True)
    assert card.calibration == calibration
    assert card.n_outputs == len(LABELS) + 1
    assert card.metrics == {"note": "measured nowhere"}
    assert card.recipe == {"epochs": 3}
    assert card.packages["numpy"] == np.__version__
    assert {p.name for p in folder.iterdir()} == {
        "card.json", "engine.tflite", "weights.safetensors", "README.md",
    }  # fmt: skip


def test_a_version_without_calibration_and_other_species_is_read_back(tmp_path, average_arguments):
    written = write_artifact(tmp_path / "version", **average_arguments)
    card = read_artifact(tmp_path / "version").card
    assert card == written.card
    assert (card.pooling, card.knows_others, card.calibration) == (AVERAGE, False, None)
    assert card.n_outputs == len(LABELS)


def test_a_version_can_know_other_species_without_calibration(tmp_path, arguments):
    card = write_artifact(tmp_path / "version", **arguments | {"calibration": None}).card
    assert (card.knows_others, card.calibration) == (True, None)


def test_the_engine_of_a_version_answers_as_before_it_was_written(folder, arguments, pixels):
    before = LiteRTEngine.load(arguments["engine"], arguments["weights"], STATISTICS)
    score = read_artifact(folder).load_engine().score(pixels[0])
    assert np.array_equal(score.logits, before.score(pixels[0]).logits)
    assert score.logits.shape == (len(LABELS) + 1,)
    given = answer(score.logits, score.lognorm, read_artifact(folder).card.calibration)
    assert given.scores.shape == (len(LABELS),)
    assert given.scores.sum() == pytest.approx(1)


def test_weights_come_back_as_float32(folder, statistics_weights):
    weights = read_artifact(folder).load_weights()
    assert set(weights) == {
        "block5_conv3/kernel", "block5_conv3/bias",
        "head/kernel", "head/bias", "head/mean", "head/scale", "head/projection",
        "head/projection4",
    }  # fmt: skip
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    for name in (name for name in weights if name.startswith("head/")):
        assert np.array_equal(weights[name], statistics_weights[name])
    kernel = statistics_weights["block5_conv3/kernel"]
    assert np.allclose(weights["block5_conv3/kernel"], kernel, rtol=1e-3, atol=1e-6)


def test_a_model_version_is_never_overwritten(folder, arguments):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ArtifactError, match="already exists"):
        write_artifact(folder, **arguments | {"temperature": 1.0})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": LABELS[:2]}, "expected float32 .*3|calibration"),
        ({"labels": LABELS[:2], "calibration": None}, "expected float32 .*3"),
        ({"input_size": 64}, "the engine takes 32 pixels"),
        ({"pooling": AVERAGE}, "expected float32|signatures|does not name"),
        ({"pooling": Pooling((3, 4, 5), 4)}, "expected float32"),
        ({"temperature": float("nan")}, "can't be read|not JSON compliant"),
        ({"metrics": {"accuracy": float("inf")}}, "not JSON compliant"),
        ({"weights": {}}, "head/bias"),
    ],
)
def test_a_failed_write_leaves_no_files(tmp_path, arguments, changes, message):
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
    change_tensors(folder, lambda t: t.update({"head/bias": np.zeros(5, np.float32)}))
    with pytest.raises(ArtifactError, match=r"head/bias is float32 \[5\], expected float32 \[4\]"):
        read_artifact(folder)


def test_a_tensor_of_another_dtype_is_refused(folder):
    change_tensors(folder, lambda t: t.update({"head/bias": np.zeros(4, np.float64)}))
    with pytest.raises(ArtifactError, match="head/bias is float64"):
        read_artifact(folder)


def test_a_tensor_that_is_not_finite_is_refused(folder):
    bias = np.array([0, np.nan, 0, 0], np.float32)
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
    change_card(folder, labels=[*LABELS, "One more"], calibration=None)
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
        ("knows_others", 1, "knows_others must be"),
        ("knows_others", None, "knows_others must be"),
        ("pooling", None, "pooling must have"),
        ("pooling", {"blocks": [3, 4, 5]}, "pooling must have"),
        ("pooling", {"blocks": "345", "second_order": 8}, "pooling must have"),
        ("pooling", {"blocks": [3, 4, 5.0], "second_order": 8}, "pooling must have"),
        ("pooling", {"blocks": [3, 4, 5], "second_order": True}, "pooling must have"),
        ("pooling", {"blocks": [3, 4, 5], "second_order": 8, "more": 0}, "pooling must have"),
        ("pooling", {"blocks": [5, 4], "second_order": 8}, "pooling is not one"),
        ("pooling", {"blocks": [2], "second_order": 8}, "pooling is not one"),
        ("pooling", {"blocks": [5], "second_order": 10**9}, "pooling is not one"),
        ("pooling", {"blocks": [], "second_order": 8}, "pooling is not one"),
        ("pooling", POOLING | {"second_order": 4}, "expected float32"),
        ("pooling", POOLING | {"centre": "0.4"}, "pooling must have"),
        ("pooling", POOLING | {"second_order_blocks": 5}, "pooling must have"),
        ("pooling", POOLING | {"centre": -1.0}, "pooling is not one"),
        ("pooling", POOLING | {"second_order_blocks": [3]}, "pooling is not one"),
        ("pooling", {"blocks": [], "second_order": 0}, "head/mean|head/kernel"),
        ("calibration", {}, "calibration is not valid"),
        ("calibration", [], "calibration is not valid"),
        ("calibration", 1.0, "calibration is not valid"),
        ("files", {}, "files must be"),
        ("metrics", [], "metrics must be an object"),
    ],
)
def test_a_card_with_an_invalid_field_is_refused(folder, field, value, message):
    change_card(folder, **{field: value})
    with pytest.raises(ArtifactError, match=message):
        read_artifact(folder)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("temperature", 0),
        ("temperature", True),
        ("scope", None),
        ("scope", {"method": "guess", "intercept": 0, "weights": [1], "threshold": 0.5}),
        ("scope", {"method": "best_score", "intercept": 0, "weights": [1, 2], "threshold": 0.5}),
        ("scope", {"method": "best_score", "intercept": 0, "weights": [1], "threshold": 2}),
        ("names", {"intercept": 0, "score_weight": 1e300, "scope_weight": 0}),
        ("verdict_rule", {"supported_from": "0.5", "contradicted_below": 0.1}),
        ("conformal", {}),
    ],
)
def test_a_damaged_calibration_is_refused(folder, part, value):
    damaged = json.loads((folder / "card.json").read_text())["calibration"] | {part: value}
    change_card(folder, calibration=damaged)
    with pytest.raises(ArtifactError, match="calibration is not valid"):
        read_artifact(folder)


def test_a_calibration_of_another_number_of_species_is_refused(folder):
    outputs = made_up_outputs(1).arguments()
    of_five = calibrate(*outputs, n_labels=SPECIES)
    change_card(folder, calibration=of_five.as_dict())
    with pytest.raises(ArtifactError, match="calibration is not valid"):
        read_artifact(folder)


def test_scope_by_an_output_that_the_network_lacks_is_refused(
    tmp_path, average_arguments, calibration
):
    assert calibration.scope.method == "other_class"
    write_artifact(tmp_path / "version", **average_arguments)
    change_card(tmp_path / "version", calibration=calibration.as_dict())
    with pytest.raises(ArtifactError, match="other species"):
        read_artifact(tmp_path / "version")


def as_format_2(folder):
    """Change the card to the format before, which lacks three fields."""
    path = folder / "card.json"
    card = json.loads(path.read_text())
    for name in ("pooling", "knows_others", "calibration"):
        del card[name]
    path.write_text(json.dumps(card | {"format": FORMAT_2}))


def test_a_version_of_the_format_before_is_read_and_served(tmp_path, average_arguments, pixels):
    """It averages, and has neither calibration nor an output for other species."""
    new = write_artifact(tmp_path / "version", **average_arguments)
    expected = new.load_engine().score(pixels[0]).logits
    as_format_2(tmp_path / "version")
    old = read_artifact(tmp_path / "version")
    assert old.card.format == FORMAT_2
    assert (old.card.pooling, old.card.knows_others, old.card.calibration) == (AVERAGE, False, None)
    assert np.array_equal(old.load_engine().score(pixels[0]).logits, expected)
    assert set(old.load_weights()) == {
        "block5_conv3/kernel", "block5_conv3/bias", "head/kernel", "head/bias",
    }  # fmt: skip


def test_the_fields_of_the_new_format_are_never_guessed(folder):
    as_format_2(folder)
    with pytest.raises(ArtifactError, match="weights"):  # the head has more tensors
        read_artifact(folder)
    change_card(folder, format=FORMAT)
    with pytest.raises(ArtifactError, match="must have the fields"):
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
