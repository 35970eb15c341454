"""Services for a factory under test that are ready at once, note what happens to them, and know nothing of AI."""

from collections.abc import Mapping
from pathlib import Path

from aif_console.factory.plan import FactoryPlan, RestartPauses, ServiceKind

NOWHERE = "nats://127.0.0.1:1"

SCRIPT = """
import json, os, signal, socket, sys, time
name, behaviour = sys.argv[1], sys.argv[2]

def note(word):
    with open(os.environ["PRETENDED_NOTES"], "a") as notes:
        notes.write(f"{name} {word}\\n")

def drain(number, frame):
    if behaviour == "deaf":
        note("ignores")
        return
    note("drains")
    if behaviour == "asking":
        host, _, port = os.environ["AIF_NATS_URL"].removeprefix("nats://").partition(":")
        with socket.create_connection((host, int(port)), 10) as nats:
            note("hears " + nats.recv(4).decode())
    time.sleep(float(os.environ.get("PRETENDED_DRAIN_SECONDS", "0")))
    note("drained")
    sys.exit(0)

signal.signal(signal.SIGTERM, drain)
if behaviour == "broken":
    sys.exit("settings are all wrong")
note("starts")
if behaviour == "slow":
    print(json.dumps({"event": "waiting_for_server", "reason": "no answer"}), file=sys.stderr, flush=True)
    while not os.path.exists(os.environ["PRETENDED_NOTES"] + ".go"):
        time.sleep(0.01)
if behaviour != "silent":
    ready = os.environ["AIF_READY_FILE"]
    with open(ready + ".draft", "w") as draft:
        json.dump({"pid": os.getpid(), "port": 1, "service": name}, draft)
    os.replace(ready + ".draft", ready)
while True:
    signal.pause()
"""


def pretended(name: str, behaviour: str = "good") -> ServiceKind:
    """`good`, `deaf` (to SIGTERM), `asking` (NATS, at its end), `silent` (never ready), `slow` (says why, and waits for
    `let_go_on`) or `broken` (ends at once)."""
    return ServiceKind(name=name, arguments=("-c", SCRIPT, name, behaviour), reads=("PRETENDED_*",))


def plan_of(
    data_dir: Path, *services: ServiceKind, settings: Mapping[str, str] | None = None, slow_start_seconds: float = 60.0
) -> FactoryPlan:
    """Without servers: they are said to be elsewhere."""
    return FactoryPlan(
        data_dir=data_dir,
        settings={
            "PRETENDED_NOTES": str(data_dir.parent / f"{data_dir.name}.notes"),
            "AIF_DRAIN_SECONDS": "0",
            **(settings or {}),
        },
        services=services,
        nats_url=NOWHERE,
        postgres_url="postgresql://nobody@127.0.0.1:1/none",
        restart_pauses=RestartPauses(first_seconds=0.01, longest_seconds=0.1),
        slow_start_seconds=slow_start_seconds,
        beyond_drain_seconds=1.0,
    )


def let_go_on(plan: FactoryPlan) -> None:
    Path(f"{plan.settings['PRETENDED_NOTES']}.go").touch()


def notes_of(plan: FactoryPlan) -> list[str]:
    """What the services noted, in order."""
    path = Path(plan.settings["PRETENDED_NOTES"])
    return path.read_text().splitlines() if path.exists() else []
