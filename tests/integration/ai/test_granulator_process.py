"""The granulator as it is deployed: its own process, a real broker, a packet in and a report out."""

from pathlib import Path

import msgspec

from aif_contracts.structures import Course
from support.deployed_worker import deployed_worker
from support.source_documents import beekeeping


async def test_a_packet_becomes_a_stored_course_and_sigterm_ends_in_order(fresh_nats: str, tmp_path: Path) -> None:
    async with deployed_worker("aif_granulator", fresh_nats, tmp_path) as granulator:
        source = await granulator.blobs.put("sources/client_1/s1", msgspec.json.encode(beekeeping()))

        report = await granulator.completes(
            "content_granulator",
            "structure_course",
            {"source": source, "granularityLevel": 4, "targetAudience": "gardeners"},
            inline_limit_bytes=0,
        )
        course = await granulator.output(report, Course)
        exit_code = await granulator.ends_in_order()

    assert len(course.modules) == 10
    assert report.metrics.provider == "local_extractive"
    assert (report.metrics.cost_usd, report.metrics.tokens_used.total_tokens) == ("0", 0)
    assert report.metrics.breakdown.ai_generation_ms > 0
    assert report.metrics.resource_usage.cpu_time_ms > 0
    assert report.quality_score is not None
    assert exit_code == 0
