from aif_runtime.told_sparingly import ToldSparingly
from support.manual_clock import ManualClock


def test_the_first_time_is_told_at_once_and_the_others_together_after_a_while() -> None:
    clock = ManualClock()
    complaints = ToldSparingly(monotonic=clock.monotonic)

    told = [complaints.times("question_malformed") for _ in range(1000)]
    of_another_kind = complaints.times("question_dropped")
    clock.advance(10.0)
    later = complaints.times("question_malformed")

    assert (told[0], set(told[1:]), of_another_kind, later) == (1, {0}, 1, 1000)
