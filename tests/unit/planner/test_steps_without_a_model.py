"""Descriptions become steps by rules: which sentences, in which order, of which kind, upon what."""

import pytest

from aif_contracts.documents import Block, BlockKind, SourceDocument
from aif_contracts.workflows import MOST_STEPS, StepType
from aif_runtime.assignment import WorkFailure
from support.planner_rig import PlannerRig

API, LLM, IF, DO = StepType.API_CALL, StepType.LLM_DECISION, StepType.CONDITIONAL, StepType.TRANSFORM
Drawn = list[tuple[StepType, str, tuple[int, ...]]]


async def drawn(text: str, **fields: object) -> Drawn:
    """Kind, operation, and the numbers of the steps that each stands upon."""
    steps = (await PlannerRig().made(description=text, **fields)).pilot_steps
    number = {step.id: at for at, step in enumerate(steps, 1)}
    return [(step.step_type, step.operation, tuple(number[each] for each in step.depends_on)) for step in steps]


async def operations(text: str) -> list[str]:
    return [operation for _, operation, _ in await drawn(text)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Call the customer", API),
        ("Send the invoice", API),
        ("Fetch the orders", API),
        ("Post the result", API),
        ("Notify the manager", API),
        ("Decide who answers", LLM),
        ("Classify each ticket", LLM),
        ("Judge the tone", LLM),
        ("Choose a winner", LLM),
        ("Summarize the week", LLM),
        ("Calculate the totals", DO),
        ("Reticulate the splines", DO),
        ("Check whether the invoice is paid", IF),
        ("The system notifies the manager", API),
        ("The manager decides", LLM),
    ],
)
async def test_the_verb_tells_the_kind_of_a_step(text: str, kind: StepType) -> None:
    assert await drawn(text) == [(kind, text, ())]


async def test_what_is_told_in_one_sentence_becomes_a_step_each_upon_the_one_before() -> None:
    assert await drawn("Process customer orders and send summary emails.") == [
        (DO, "Process customer orders", ()),
        (API, "Send summary emails", (1,)),
    ]


async def test_things_that_are_joined_stay_in_one_step() -> None:
    assert await drawn("Collect the phone and email of each customer, the name, and the town.") == [
        (DO, "Collect the phone and email of each customer, the name, and the town", ())
    ]


async def test_numbered_lists_are_taken_item_by_item_and_their_announcement_is_no_step() -> None:
    text = "# Orders\n\nOur workflow:\n\n1. Fetch the new orders\n   from the shop.\n2) Rank them\n- Reticulate them\n"

    assert await drawn(text) == [
        (API, "Fetch the new orders from the shop", ()),
        (LLM, "Rank them", (1,)),
        (DO, "Reticulate them", (2,)),
    ]


async def test_headings_and_lists_of_a_document_are_known_by_its_blocks() -> None:
    rig = PlannerRig()
    pieces = [(BlockKind.HEADING, "Returns"), (BlockKind.LIST_ITEM, "1. Fetch them"), (BlockKind.LIST_ITEM, "Rank them")]
    text = "\n".join(piece for _, piece in pieces)
    blocks = tuple(
        Block(kind=kind, start=text.index(piece), end=text.index(piece) + len(piece), level=1) for kind, piece in pieces
    )
    document = SourceDocument(title="Returns", text=text, blocks=blocks, media_type="text/markdown")

    workflow = await rig.made(source=await rig.stored_document(document))

    assert [step.operation for step in workflow.pilot_steps] == ["Fetch them", "Rank them"]


async def test_a_list_in_one_line_is_a_list() -> None:
    assert await operations("Do this: 1) fetch orders 2) add them up 3) email the report") == [
        "Fetch orders",
        "Add them up",
        "Email the report",
    ]


async def test_words_that_lead_in_are_left_out_and_so_are_sentences_that_tell_nothing() -> None:
    text = "We are a small company. Please fetch the orders. Then, you should rank them. Finally, we want you to mail the list."

    assert await operations(text) == ["Fetch the orders", "Rank them", "Mail the list"]


async def test_a_text_that_tells_nothing_to_do_is_taken_sentence_by_sentence() -> None:
    assert await drawn("The sky is blue. The grass is green.") == [
        (DO, "The sky is blue", ()),
        (DO, "The grass is green", (1,)),
    ]


async def test_what_stands_under_an_if_depends_on_it_and_what_follows_goes_on_from_before() -> None:
    text = "Fetch the order. If the total is above 100, notify the manager and log it. Archive the order."

    assert await drawn(text) == [
        (API, "Fetch the order", ()),
        (IF, "If the total is above 100", (1,)),
        (API, "Notify the manager", (2,)),
        (DO, "Log it", (3,)),
        (DO, "Archive the order", (1,)),
    ]


async def test_the_opposite_case_has_a_condition_of_its_own() -> None:
    text = "Fetch the order. If it is late, call the customer, otherwise pack it. Ship it."

    assert await drawn(text) == [
        (API, "Fetch the order", ()),
        (IF, "If it is late", (1,)),
        (API, "Call the customer", (2,)),
        (IF, "Otherwise, where this does not hold: if it is late", (1,)),
        (DO, "Pack it", (4,)),
        (DO, "Ship it", (1,)),
    ]


@pytest.mark.parametrize("joint", [", then if", " and if", "; then, if", ", and then if"])
async def test_what_is_done_before_a_condition_in_one_sentence_comes_before_it(joint: str) -> None:
    text = f"Fetch the order{joint} it is late, call the customer, otherwise pack it."

    assert await drawn(text) == [
        (API, "Fetch the order", ()),
        (IF, "If it is late", (1,)),
        (API, "Call the customer", (2,)),
        (IF, "Otherwise, where this does not hold: if it is late", (1,)),
        (DO, "Pack it", (4,)),
    ]


async def test_a_condition_behind_a_semicolon_begins_an_instruction_of_its_own() -> None:
    assert await drawn("Unless it is paid, send a reminder; when the customer answers, close the ticket.") == [
        (IF, "Unless it is paid", ()),
        (API, "Send a reminder", (1,)),
        (IF, "When the customer answers", ()),
        (DO, "Close the ticket", (3,)),
    ]


async def test_a_second_condition_goes_on_with_the_first() -> None:
    assert await drawn("Call the customer if the order is late and if it is large.") == [
        (IF, "If the order is late and if it is large", ()),
        (API, "Call the customer", (1,)),
    ]


async def test_a_check_is_followed_by_what_is_done_if_so_and_if_not() -> None:
    text = "Check if the invoice is paid. If so, send a receipt. If not, remind the customer. Summarize the day."

    assert await drawn(text) == [
        (IF, "Check if the invoice is paid", ()),
        (API, "Send a receipt", (1,)),
        (IF, "Otherwise, where this does not hold: check if the invoice is paid", ()),
        (API, "Remind the customer", (3,)),
        (LLM, "Summarize the day", ()),
    ]


async def test_a_condition_that_begins_like_an_answer_is_a_condition() -> None:
    assert await drawn("Check if it is paid. If not paid in time, call the customer") == [
        (IF, "Check if it is paid", ()),
        (IF, "If not paid in time", (1,)),
        (API, "Call the customer", (2,)),
    ]


async def test_what_comes_after_a_when_belongs_to_it() -> None:
    assert await drawn("When a ticket arrives, read it. Decide who answers it.") == [
        (IF, "When a ticket arrives", ()),
        (DO, "Read it", (1,)),
        (LLM, "Decide who answers it", (2,)),
    ]


async def test_a_condition_at_the_end_comes_before_what_it_is_about() -> None:
    assert await drawn("Send a mail if nobody answers, and log it") == [
        (IF, "If nobody answers", ()),
        (API, "Send a mail", (1,)),
        (DO, "Log it", ()),
    ]


async def test_commas_within_a_condition_are_no_end_of_it() -> None:
    assert await drawn("If the order is late, large, or foreign, call the customer") == [
        (IF, "If the order is late, large, or foreign", ()),
        (API, "Call the customer", (1,)),
    ]


async def test_a_connected_service_that_is_named_is_called() -> None:
    workflow = await PlannerRig().made(
        description="Process the orders, send summary emails, and add a row to the sheet. Decide about the mail.",
        connectedServices=["google-mail", "google-sheets"],
    )

    assert [(step.step_type, step.service) for step in workflow.pilot_steps] == [
        (DO, None),
        (API, "google-mail"),
        (API, "google-sheets"),
        (LLM, None),
    ]


async def test_of_allowed_operations_each_step_gets_the_one_that_shares_most_words_with_it() -> None:
    workflow = await PlannerRig().made(
        description="Collect the orders, then store the rows.",
        allowedOperations=["store_rows", "collect_orders", "store_files"],
    )

    assert [(step.operation, step.instruction) for step in workflow.pilot_steps] == [
        ("collect_orders", "Collect the orders"),
        ("store_rows", "Store the rows"),
    ]


async def test_something_that_no_allowed_operation_fits_is_refused_with_its_words() -> None:
    with pytest.raises(WorkFailure, match=r"none of the allowed operations fits 'Paint the house': name one in") as refused:
        await PlannerRig().run(description="Paint the house", allowedOperations=["store_rows"])

    assert (refused.value.code, refused.value.retryable) == ("invalid_request", False)


async def test_where_there_are_too_many_things_to_do_each_instruction_is_one_step() -> None:
    text = "Fetch the orders and rank them. Add them up and mail the list."

    assert len(await drawn(text)) == 4
    assert await drawn(text, maxSteps=3) == [
        (API, "Fetch the orders and rank them", ()),
        (DO, "Add them up and mail the list", (1,)),
    ]


async def test_more_instructions_than_steps_are_wanted_are_refused_and_none_is_dropped() -> None:
    with pytest.raises(WorkFailure, match=r"tells to do more than 50 things, and at most so many .*raise maxSteps"):
        await PlannerRig().run(description="\n".join(f"{n}. Fetch order {n}" for n in range(1, MOST_STEPS + 2)))


async def test_a_very_long_sentence_is_told_in_full_in_the_instruction() -> None:
    (step,) = (await PlannerRig().made(description="Calculate " + "x" * 600)).pilot_steps

    assert len(step.operation) == 500
    assert step.operation.endswith("x…")
    assert step.instruction == "Calculate " + "x" * 600


@pytest.mark.parametrize("text", ["If", "if,", "Otherwise archive it", "when", "If so, send it", "Send it if"])
async def test_odd_texts_make_a_workflow_of_one_or_two_steps(text: str) -> None:
    assert len(await drawn(text)) in (1, 2)


@pytest.mark.parametrize("text", ["1.\n2.\n", "- \n- \n", "...", "... !!!", "🙂"])
async def test_a_text_without_words_is_refused(text: str) -> None:
    with pytest.raises(WorkFailure, match="say in words what is to be done") as refused:
        await PlannerRig().run(description=text)

    assert refused.value.code == "source_too_thin"


async def test_the_same_description_gives_the_same_steps() -> None:
    text = "When a ticket arrives, read it, decide who answers and post it to Slack."

    assert await drawn(text) == await drawn(text)
