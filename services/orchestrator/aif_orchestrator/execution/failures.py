"""What the core refuses."""


class IllegalHappening(Exception):
    """Something happened that the table does not list for the state it met: a mistake in this code, not in its input."""

    def __init__(self, status: str, happening: str) -> None:
        super().__init__(f"{happening} is not listed for a stage that is {status}")
        self.status = status
        self.happening = happening


class NotItsWorker(Exception):
    """A worker reports on an attempt of another one."""

    def __init__(self, stage_id: str, worker_name: str, wanted: str) -> None:
        super().__init__(f"{worker_name} reports on {stage_id}, which is work of {wanted}")
        self.stage_id = stage_id
        self.worker_name = worker_name
        self.wanted = wanted
