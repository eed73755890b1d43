"""Which frames are searched in full, which beside which, and in what order.

Every so many frames all generators are asked.  Between two of these the frame
in the middle starts from both, then the middles of the halves, and so on: the
result of a frame does not depend on how many workers there are.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator

LOOK_AHEAD = 512
"""Frames that are looked through for one whose neighbours are done."""


class Plan:
    """The order of work on frames 0, 1, ... which may go on coming.

    Parameters
    ----------
    full_every : int
        Frames from one full search to the next; 1 for full searches alone.
    """

    def __init__(self, full_every: int) -> None:
        self.full_every = full_every
        self.count = 0
        self.beside: dict[int, tuple[int, ...]] = {}
        self.pending: deque[int] = deque()
        self.ended: set[int] = set()
        self.asked_for: Counter[int] = Counter()

    def extend(self, count: int) -> None:
        """Add frames at the end."""
        first, self.count = self.count, self.count + count
        for frame, beside in self._ordered(first, self.count):
            self.beside[frame] = beside
            self.asked_for.update(beside)
            self.pending.append(frame)

    def _ordered(
        self, first: int, end: int
    ) -> Iterator[tuple[int, tuple[int, ...]]]:
        """New frames in the order of work, with those that each waits for."""
        last = first - 1
        for frame in range(first, end):
            full = frame % self.full_every == 0
            # The last one that there is starts from the one before alone.
            if full or frame == end - 1:
                yield frame, () if full or last < 0 else (last,)
                if last >= 0:
                    yield from _middles(last, frame)
                last = frame

    def next(self) -> int | None:
        """Take a frame whose neighbours are done; None where none is."""
        for place, frame in enumerate(self.pending):
            if place >= LOOK_AHEAD:
                break
            if self.ended.issuperset(self.beside[frame]):
                del self.pending[place]
                return frame
        return None

    def put_back(self, frame: int) -> None:
        """Take up a frame again, before others."""
        self.pending.appendleft(frame)

    def end(self, frame: int) -> list[int]:
        """Note that a frame is done or failed.

        Returns
        -------
        list of int
            Frames that no other one will start from any more.
        """
        self.ended.add(frame)
        for other in self.beside[frame]:
            self.asked_for[other] -= 1
        over = [k for k in (frame, *self.beside[frame]) if self._is_over(k)]
        return over

    def _is_over(self, frame: int) -> bool:
        # What comes next starts from the last one.
        return self.asked_for[frame] <= 0 and frame != self.count - 1


def _middles(low: int, high: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """The frames between two, each after those that it starts from."""
    spans = deque([(low, high)])
    while spans:
        low, high = spans.popleft()
        if high - low < 2:
            continue
        middle = (low + high) // 2
        yield middle, (low, high)
        spans += [(low, middle), (middle, high)]
