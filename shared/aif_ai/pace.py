"""How fast one provider may be asked, by all attempts of this process together.

Requests per minute are kept by the generic cell rate algorithm: a bucket that holds a tenth of a minute's requests and
fills evenly, in one number. A place is taken before its time comes, so that those who wait are served in order.
"""

_BURST_SHARE = 10
"""So many times a minute the bucket could be emptied."""


class Pace:
    """Of one provider. Time comes in as monotonic seconds."""

    def __init__(self) -> None:
        self._next_due = 0.0
        self.paused_until = 0.0

    def pause(self, until: float) -> None:
        """The provider asked for it; a shorter pause never ends a longer one."""
        self.paused_until = max(self.paused_until, until)

    def take_place(self, now: float, *, requests_per_minute: int | None, patience_seconds: float) -> float | None:
        """Seconds to wait until the request may be sent; None, and no place, when that is more than the patience."""
        wait = self.wait_seconds(now, requests_per_minute=requests_per_minute)
        if wait > patience_seconds:
            return None
        if requests_per_minute is not None:
            self._next_due = max(self._next_due, now + wait) + 60.0 / requests_per_minute
        return wait

    def wait_seconds(self, now: float, *, requests_per_minute: int | None) -> float:
        """What a request would have to wait now."""
        due = max(now, self.paused_until)
        if requests_per_minute is not None:
            burst = max(1, requests_per_minute // _BURST_SHARE)
            due = max(due, self._next_due - 60.0 / requests_per_minute * (burst - 1))
        return due - now
