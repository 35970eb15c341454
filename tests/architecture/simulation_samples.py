"""One value of every message of the cost simulation."""

from msgspec import Struct

from aif_contracts.packets import Priority
from aif_contracts.simulation import Grounds, MsRange, SimulateExecution, Simulation, StageSimulation, UsdRange

_USD = UsdRange(p10="0.0012", p50="0.0025", p90="0.0081")
_MS = MsRange(p10=900, p50=2100, p90=8400)
_STAGE = StageSimulation(
    stage_id="outline",
    worker_name="content_granulator",
    action="granulate",
    grounds=Grounds.TOKEN_MODEL,
    samples=12,
    runs_percent=80,
    cost_usd=_USD,
    time_ms=_MS,
    model="gpt-5-mini",
)
SIMULATION_SAMPLES: tuple[Struct, ...] = (
    SimulateExecution(
        client_id="acme",
        template_name="course",
        template_version="1",
        parameters={"topic": "Bienenhaltung"},
        priority=Priority.HIGH,
        tier="premium",
        max_cost_usd="0.75",
    ),
    _USD,
    _MS,
    _STAGE,
    Simulation(
        template="course",
        template_version="1",
        cost_usd=_USD,
        time_ms=_MS,
        bound_usd="2",
        samples=40,
        stages=(_STAGE,),
        assumptions=("Prices stay as they were.",),
        over_limit_percent=35,
    ),
)
