"""What is asked of all stages of an execution together, kept up while single ones change.

A batch may hold the reports of fifty stages side by side; counted anew for each, fifty stages are looked at fifty times.
"""

from collections.abc import Iterable

from aif_orchestrator.execution.state import StageRun


class Tally:
    """`stages` are those that make up the execution's progress, and `percents` the sum of theirs: what undoes a stage is none
    of them, nor is a stage that was withdrawn. `unended` are all that are not final."""

    __slots__ = ("percents", "stages", "unended")

    def __init__(self, runs: Iterable[StageRun]) -> None:
        self.stages = self.percents = self.unended = 0
        self._count(runs, 1)

    def replace(self, was: StageRun, run: StageRun) -> None:
        if run.status is not was.status or run.progress_percent != was.progress_percent or run.withdrawn is not was.withdrawn:
            self._count((was,), -1)
            self._count((run,), 1)

    def _count(self, runs: Iterable[StageRun], times: int) -> None:
        for run in runs:
            is_final = run.status.is_final
            if not is_final:
                self.unended += times
            if run.compensates is None and not run.withdrawn:
                self.stages += times
                self.percents += times * (100 if is_final else run.progress_percent)
