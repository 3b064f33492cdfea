"""A plain LitServe with the engine of the version that comes with ChampiPy; it stores nothing.

`benchmarks.api` starts it, with a Python that has LitServe.
"""

import argparse
import os
from typing import Any

import litserve
from fastapi import Request

from benchmarks.service import PRETRAINED
from mlmodels.ml.answers import answer
from mlmodels.ml.artifact import read_artifact
from mlmodels.ml.preprocessing import decode_photo, to_input
from mlmodels.photo_answers import photo_answer


class ChampiPyEngine(litserve.LitAPI):
    """Decodes and scores uploaded photos as ChampiPy's worker `inference` does."""

    def __init__(self, threads: int) -> None:
        super().__init__(api_path="/predict")
        self.threads = threads

    def setup(self, device: str) -> None:
        artifact = read_artifact(PRETRAINED)
        self.card = artifact.card
        self.engine = artifact.load_engine(self.threads)
        if self.card.calibration is None:
            raise RuntimeError("The version that comes with ChampiPy has no calibration.")
        self.calibration = self.card.calibration

    def decode_request(self, request: Request) -> Any:
        return to_input(decode_photo(request["file"].file.read()), self.card.input_size)

    def predict(self, pixels: Any) -> Any:
        outputs = self.engine.score(pixels)
        return photo_answer(answer(outputs.logits, outputs.lognorm, self.calibration))

    def encode_response(self, answered: Any) -> dict[str, Any]:
        return {"predictions": dict(zip(self.card.labels, answered.scores, strict=True))}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    server = litserve.LitServer(
        ChampiPyEngine(options.threads),
        accelerator="cpu",
        workers_per_device=options.workers,
    )
    server.run(port=options.port, generate_client_file=False, log_level="warning")
