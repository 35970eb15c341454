"""What a language model is asked by the analyst, and what becomes of its answers."""

from support.analyst_rig import AnalystRig
from support.scripted_model import ScriptedModel

TEXT = "Anna met Bob in Graz. Anna can be reached at anna@example.com. Annabel stayed at home."
NAMES = {"names": [{"kind": "person", "name": "Anna"}, {"kind": "person", "name": "Bob"}, {"kind": "place", "name": "Graz"}]}


async def test_a_model_names_persons_and_places_in_what_the_rules_have_left() -> None:
    model = ScriptedModel(NAMES)
    rig = AnalystRig([model])

    outcome = await rig.run("pii_redaction", text=TEXT, useModel=True, numbered=True)

    redaction = outcome.output
    assert redaction.text == (
        "[PERSON_1] met [PERSON_2] in [PLACE_1]. [PERSON_1] can be reached at [EMAIL_1]. Annabel stayed at home."
    )
    assert [TEXT[entity.source.start : entity.source.end] for entity in redaction.entities] == [
        *("Anna", "Bob", "Graz", "Anna"),
        "anna@example.com",
    ]
    assert {entity.found_by for entity in redaction.entities} == {"model:teacher-1", "rule:email"}
    assert redaction.made_by == "local_pii/rules-1, scripted/teacher-1"


async def test_what_rules_know_never_reaches_the_model() -> None:
    model = ScriptedModel({"names": []})
    rig = AnalystRig([model])

    await rig.run("pii_redaction", text=TEXT, useModel=True)

    (prompt,) = model.asked
    assert "anna@example.com" not in prompt
    assert "can be reached at [EMAIL]" in prompt


async def test_without_being_asked_for_a_model_redaction_stays_on_this_machine() -> None:
    model = ScriptedModel(NAMES)
    rig = AnalystRig([model])

    await rig.run("pii_redaction", text=TEXT)

    assert model.asked == []


async def test_a_name_that_the_text_does_not_have_is_asked_for_again_and_then_taken_for_nothing() -> None:
    model = ScriptedModel({"names": [{"kind": "person", "name": "Zaphod"}]}, NAMES)
    rig = AnalystRig([model])

    outcome = await rig.run("pii_redaction", text=TEXT, useModel=True)

    assert "the text does not have this name" in model.asked[1]
    assert outcome.output.counts == {"email": 1, "person": 3, "place": 1}


async def test_a_name_that_is_absent_again_is_left_out_and_the_result_says_so() -> None:
    wrong = {"names": [{"kind": "person", "name": "Zaphod"}, {"kind": "person", "name": "Trillian"}, *NAMES["names"][:1]]}
    rig = AnalystRig([ScriptedModel(wrong, wrong)])

    outcome = await rig.run("pii_redaction", text=TEXT, useModel=True)

    assert outcome.output.counts == {"email": 1, "person": 2}
    assert "2 names of the model do not stand in the text and were left out" in outcome.output.note
    assert len(rig.assignment.calls) == 3  # the rules', the question, the question asked again


async def test_kinds_that_were_not_wanted_are_not_taken_from_a_model() -> None:
    rig = AnalystRig([ScriptedModel(NAMES)])

    outcome = await rig.run("pii_redaction", text=TEXT, useModel=True, kinds=["place"])

    assert outcome.output.text == TEXT.replace("Graz", "[PLACE]")


async def test_a_model_judges_every_sentence_and_the_whole_is_put_together_as_locally() -> None:
    model = ScriptedModel({"scores": [{"number": 1, "score": 0.5}, {"number": 2, "score": -1}]})
    rig = AnalystRig([model])

    outcome = await rig.run("sentiment_analysis", text="That went well. As if.")

    analysis = outcome.output
    assert [(part.text, part.sentiment.score) for part in analysis.parts] == [("That went well.", 0.5), ("As if.", -1.0)]
    assert (analysis.overall.score, analysis.made_by) == (-0.1, "scripted/teacher-1")
    assert "1. That went well.\n2. As if." in model.asked[0]


async def test_a_score_that_is_missing_is_asked_for_again() -> None:
    half = {"scores": [{"number": 1, "score": 0.5}]}
    model = ScriptedModel(half, {"scores": [*half["scores"], {"number": 2, "score": 0}]})
    rig = AnalystRig([model])

    outcome = await rig.run("sentiment_analysis", text="One. Two.")

    assert "missing: [2]" in model.asked[1]
    assert len(outcome.output.parts) == 2


async def test_a_text_that_no_prompt_can_hold_is_judged_locally() -> None:
    model = ScriptedModel({"scores": []})
    rig = AnalystRig([model], budget_characters=40)

    outcome = await rig.run("sentiment_analysis", text="I love it. " * 10)

    assert (model.asked, outcome.provider) == ([], "local_sentiment")


async def test_a_models_summary_keeps_the_spans_of_its_quotes() -> None:
    text = "The hive was empty in spring. Nobody had fed the bees. The keeper bought a new queen."
    answer = {
        "sentences": [
            {"text": "The bees had starved.", "quote": "Nobody had fed the bees."},
            {"text": "It was sad.", "quote": "Everybody cried for a week."},
        ]
    }
    rig = AnalystRig([ScriptedModel(answer)])

    outcome = await rig.run("summarization", text=text, maxSentences=2)

    first, second = outcome.output.sentences
    assert outcome.output.text == "The bees had starved. It was sad."
    assert first.source is not None
    assert text[first.source.start : first.source.end] == "Nobody had fed the bees."
    assert second.source is None
    assert outcome.quality_score is not None
    assert outcome.quality_score < 1


async def test_a_summary_that_is_too_long_is_asked_for_again() -> None:
    sentence = {"text": "Short.", "quote": ""}
    model = ScriptedModel({"sentences": [sentence, {"text": "More.", "quote": ""}]}, {"sentences": [sentence]})
    rig = AnalystRig([model])

    outcome = await rig.run("summarization", text="A long text about nothing.", maxSentences=1)

    assert "the summary has 2 sentences, at most 1 are wanted" in model.asked[1]
    assert outcome.element_count == 1


def test_with_a_language_model_texts_are_paid_and_transcripts_are_not() -> None:
    spec = AnalystRig([ScriptedModel({})]).spec

    assert {name for name, action in spec.actions.items() if action.paid} == {
        "pii_redaction",
        "sentiment_analysis",
        "summarization",
    }
    assert "llm_generation" in spec.capabilities
    assert spec.models == ("teacher-1",)
