"""The researcher as it is deployed: its own process, a real broker, a packet in and a report out."""

from pathlib import Path

import msgspec

from aif_contracts.research import Research
from support.deployed_worker import deployed_worker
from support.source_documents import beekeeping


async def test_a_packet_becomes_stored_findings_and_sigterm_ends_in_order(fresh_nats: str, tmp_path: Path) -> None:
    async with deployed_worker("aif_researcher", fresh_nats, tmp_path) as researcher:
        source = await researcher.blobs.put("sources/client_1/s1", msgspec.json.encode(beekeeping()))
        description = await researcher.description()

        report = await researcher.completes("topic_researcher", "research_topic", {"source": source})
        research = await researcher.output(report, Research)
        exit_code = await researcher.ends_in_order()

    assert (description.worker_name, [action.name for action in description.actions]) == (
        "topic_researcher",
        ["research_topic"],
    )
    assert len(research.subtopics) == 10
    assert (report.metrics.provider, report.metrics.cost_usd) == ("local_extractive", "0")
    assert (report.quality_score, report.element_count) == (1.0, 33)
    assert exit_code == 0
