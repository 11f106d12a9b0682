"""How many events may be worked on at the same time."""


class Slots:
    """Counts the places that are free. For one event loop.

    Args:
        total: of all places.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._taken = 0

    @property
    def total(self) -> int:
        """How many places there are."""
        return self._total

    @property
    def taken(self) -> int:
        """How many places are taken."""
        return self._taken

    @property
    def free(self) -> int:
        """How many places are free; below 0 when there are fewer than were taken."""
        return self.total - self._taken

    def take(self, wanted: int | None = None) -> int:
        """Take up to `wanted` places, or all that are free; returns how many there were."""
        free = max(0, self.free)
        granted = free if wanted is None else min(wanted, free)
        self._taken += granted
        return granted

    def give_back(self, count: int = 1) -> None:
        """Free places."""
        self._taken -= count
