"""What is executed: stages that do nothing, or sleep, with about 1 KB in and 1 KB out."""

from msgspec import Struct

from aif_pipelines.definition import Pipeline, Stage

WORKER = "idle_worker"
ABSENT_WORKER = "absent_worker"
"""Nobody runs it."""
FAN_WIDTH = 50
TEXT = "x" * 1000
PARAMETERS = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "seconds": {"type": "number"}},
    "required": ["text", "seconds"],
}


class Shape(Struct, frozen=True, kw_only=True):
    """The same for the factory, by a pipeline, and for the floor, by a few numbers."""

    name: str
    action: str
    widths: tuple[int, ...]
    """Stages side by side, step after step."""
    worker: str = WORKER

    def pipeline(self) -> Pipeline:
        steps = [
            [f"step_{number}" if width == 1 else f"step_{number}_{place}" for place in range(width)]
            for number, width in enumerate(self.widths)
        ]
        stages = [
            Stage(id=stage_id, worker=self.worker, action=self.action, depends_on=tuple(before), input=_input(before))
            for before, step in zip([[], *steps], steps, strict=False)
            for stage_id in step
        ]
        return Pipeline(name=self.name, version="1.0.0", parameters=PARAMETERS, stages=tuple(stages))


def _input(before: list[str]) -> dict[str, str]:
    source = before[-1] if before else "params"
    return {"text": f"{{{{{source}.text}}}}", "seconds": f"{{{{{source}.seconds}}}}"}


CHAIN = Shape(name="chain", action="echo", widths=(1, 1, 1))
PAID_CHAIN = Shape(name="paid_chain", action="paid_echo", widths=(1, 1, 1))
NAPS = Shape(name="naps", action="nap", widths=(1, 1, 1))
FAN = Shape(name="fan", action="echo", widths=(FAN_WIDTH, 1))
UNATTENDED = Shape(name="unattended", action="echo", widths=(1,), worker=ABSENT_WORKER)
SHAPES = (CHAIN, PAID_CHAIN, NAPS, FAN, UNATTENDED)
