"""Clocks that do not depend on the machine."""


class TickingClock:
    """A clock that advances by a second at each call."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now
