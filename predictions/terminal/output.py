"""What `./champipy predict` prints, and the exit code that follows."""

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from predictions.terminal.arguments import ALL_ANSWERED, SOME_FAILED, UNAVAILABLE
from predictions.terminal.photos import Photo

BAR_WIDTH = 40


@dataclass(frozen=True)
class Failure:
    """Why a photo has no answer: one of the API's codes, and a sentence."""

    code: str
    detail: str
    is_of_service: bool = False
    """Whether other photos would fail, too: nothing more is tried."""


@dataclass
class Report:
    """Prints answers as they come, in text or as lines of JSON, and counts them."""

    is_json: bool
    proposed: str | None
    expected: int
    answered: int = field(default=0, init=False)
    failed: int = field(default=0, init=False)
    _bar: Any = field(default=None, init=False)

    def run(self, answers: Iterable[tuple[Photo, dict[str, Any] | Failure]]) -> int:
        """Print each answer, with a bar on a terminal; return the exit code."""
        is_unavailable = False
        if self.expected > 1 and sys.stderr.isatty():
            from tqdm import tqdm  # late: one photo needs no bar

            self._bar = tqdm(total=self.expected, unit="photo", file=sys.stderr, leave=False)
        try:
            for photo, answer in answers:
                if isinstance(answer, Failure):
                    self._fail(photo, answer)
                    is_unavailable = is_unavailable or answer.is_of_service
                else:
                    self._tell(photo, answer)
                if self._bar is not None:
                    self._bar.update()
                if is_unavailable:
                    break
        finally:
            if self._bar is not None:
                self._bar.close()
        if self.expected > 1 and not self.is_json:
            left = self.expected - self.answered - self.failed
            more = f", {left} not tried" if left else ""
            self._write(f"{self.answered} answered, {self.failed} failed{more}.", sys.stderr)
        if is_unavailable:
            return UNAVAILABLE
        return SOME_FAILED if self.failed else ALL_ANSWERED

    def _write(self, line: str, stream: Any) -> None:
        if self._bar is None:
            print(line, file=stream, flush=True)
        else:
            self._bar.write(line, file=stream)

    def _fail(self, photo: Photo, failure: Failure) -> None:
        self.failed += 1
        if self.is_json:
            error = {"code": failure.code, "detail": failure.detail}
            self._write_json({"photo": photo.given, "status": "failed", "error": error})
        self._write(f"{photo.given}: {failure.detail} ({failure.code})", sys.stderr)

    def _tell(self, photo: Photo, answer: dict[str, Any]) -> None:
        self.answered += 1
        if self.is_json:
            self._write_json({"photo": photo.given, **answer})
            return
        model = answer["model"]
        note = ", answered from the stored inference" if answer["reused"] else ""
        lines = [f"{photo.given}: {model['name']} {model['version']}{note}"]
        scope = answer["scope"]
        if scope is not None and not scope["in_scope"]:
            lines.append(
                f"  None of the species that I know: {scope['score']:.2f} % that it is one of "
                "them. If it were one:"
            )
        for each in answer["predictions"]:
            bar = "█" * round(each["score"] / 100 * BAR_WIDTH)
            lines.append(f"  {each['score']:6.2f} %  {each['species']:<24} {bar}".rstrip())
        if answer["plausible"] and len(answer["plausible"]) > 1:
            lines.append(f"  Cannot be ruled out: {', '.join(answer['plausible'])}")
        if self.proposed is not None:
            lines.append(f"  {_verdict(self.proposed, answer['verdict'])}")
        self._write("\n".join(lines), sys.stdout)

    def _write_json(self, answer: dict[str, Any]) -> None:
        self._write(json.dumps(answer, ensure_ascii=False), sys.stdout)


def _verdict(proposed: str, verdict: dict[str, Any] | None) -> str:
    if verdict is None:
        return f"{proposed}: not judged, because this model version has no rule for verdicts."
    word = verdict["verdict"].replace("_", " ")
    return f"{verdict['proposed']}: {word}. {verdict['because']}"
