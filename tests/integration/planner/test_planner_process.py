"""The planner as it is deployed: its own process, a real broker, a packet in, a report and an audit entry out."""

from pathlib import Path

import msgspec

from aif_contracts import subjects
from aif_contracts.audit import AuditEntry
from aif_contracts.workflows import GeneratedWorkflow
from support.deployed_worker import deployed_worker

TASK = {"description": "Fetch the new orders, classify them and send a summary.", "connectedServices": None}


async def test_a_packet_becomes_a_stored_workflow_and_sigterm_ends_in_order(fresh_nats: str, tmp_path: Path) -> None:
    async with deployed_worker("aif_planner", fresh_nats, tmp_path) as planner:
        description = await planner.description()

        report = await planner.completes("workflow_generator", "generate_workflow", TASK)
        workflow = await planner.output(report, GeneratedWorkflow)
        exit_code = await planner.ends_in_order()
        (told,) = await planner.told(subjects.STREAM_AUDIT, subjects.ALL_AUDIT)

    entry = msgspec.json.decode(told, type=AuditEntry)
    assert description.worker_name == "workflow_generator"
    assert [(action.name, action.paid) for action in description.actions] == [("generate_workflow", False)]
    assert [step.operation for step in workflow.pilot_steps] == ["Fetch the new orders", "Classify them", "Send a summary"]
    assert (report.metrics.provider, report.metrics.model, report.metrics.cost_usd) == ("local_workflow", "local-rules-1", "0")
    assert (report.element_count, report.quality_score) == (3, 1.0)
    assert (entry.action, entry.actor, entry.compliance) == ("WORKFLOW_GENERATED", "worker:workflow_generator", ("SOC2",))
    assert exit_code == 0
