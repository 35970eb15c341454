"""What a client has configured of itself reaches the model of every worker that writes, in the workspace of the order."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from aif_ai.configuration import ClientConfiguration
from aif_contracts.configuration import AiSettings, Company, Product
from support.analyst_rig import AnalystRig
from support.granulator_rig import GranulatorRig
from support.provider_double.server import ProviderDouble, provider_double
from support.researcher_rig import ResearcherRig
from support.scripted_model import ScriptedModel

SUMMARY = {"sentences": [{"text": "Bienen sammeln Nektar.", "quote": "Bees gather nectar."}]}


class OneClient:
    """Has said the same of itself, whichever workspace is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []

    async def of(self, client_id: str, workspace_id: str | None = None) -> ClientConfiguration:
        self.asked.append((client_id, workspace_id))
        return ClientConfiguration(
            client_id=client_id,
            ai_settings=AiSettings(language="de-AT", tone="cheerful"),
            company=Company(name="Acme Hives"),
            products=(Product(product_id="p1", name="The Sunny Hive"),),
        )


async def _summary(client: OneClient, _: ProviderDouble) -> str:
    model = ScriptedModel(SUMMARY)
    await AnalystRig([model], configurations=client).run("summarization", text="Bees gather nectar. They store it as honey.")
    return model.asked[0]


async def _course(client: OneClient, double: ProviderDouble) -> str:
    await GranulatorRig(double, configurations=client).run("structure_course", topic="Bees")
    return msgspec.json.encode(double.requests[0]["messages"]).decode()


async def _research(client: OneClient, double: ProviderDouble) -> str:
    await ResearcherRig(double, configurations=client).run(topic="Bees")
    return msgspec.json.encode(double.requests[0]["messages"]).decode()


@pytest.mark.parametrize("prompt_of", [_summary, _course, _research], ids=["summary", "course", "research"])
async def test_language_tone_company_and_products_reach_the_model(
    prompt_of: Callable[[OneClient, ProviderDouble], Awaitable[str]],
) -> None:
    client = OneClient()

    async with provider_double() as double:
        prompt = await prompt_of(client, double)

    assert client.asked == [("client_1", None)]
    assert _told(prompt) == {
        "language": "de-AT",
        "tone": "cheerful",
        "company": {"name": "Acme Hives"},
        "products": [{"name": "The Sunny Hive"}],
    }


async def test_a_summary_in_the_clients_language_is_proved_by_quotes_in_that_of_the_text() -> None:
    rig = AnalystRig([ScriptedModel(SUMMARY)], configurations=OneClient())

    outcome = await rig.run("summarization", text="Bees gather nectar. They store it as honey.")

    (sentence,) = outcome.output.sentences
    assert (sentence.text, sentence.source.start, sentence.source.end) == ("Bienen sammeln Nektar.", 0, 19)


async def test_what_only_finds_something_is_told_nothing_of_the_client() -> None:
    model = ScriptedModel({"scores": [{"number": 1, "score": 0.5}]}, {"names": []})
    client = OneClient()
    rig = AnalystRig([model], configurations=client)

    await rig.run("sentiment_analysis", text="I like it.")
    await rig.run("pii_redaction", text="I like it.", useModel=True)

    assert client.asked == []
    assert "Acme" not in "\n".join(model.asked)


def _told(prompt: str) -> dict[str, Any]:
    inside = prompt.replace("\\n", "\n").replace('\\"', '"').split("<client>\n")[1].split("\n</client>")[0]
    return dict(msgspec.json.decode(inside))
