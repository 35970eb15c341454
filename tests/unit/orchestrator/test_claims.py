"""Who gets an attempt when answers are lost, and what becomes of a packet that takes its workers down."""

from typing import Any

from aif_contracts.events import StepRetrying
from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_contracts.packets import Granted, Later, Superseded
from aif_orchestrator.execution.commands import AnswerClaim, BuryPacket, RecordAttempt
from aif_orchestrator.execution.happenings import AttemptClaimed, TimePassed
from support.execution_story import Story, pipeline, stage


def claims(story: Story, claim_id: str, *, is_first_delivery: bool = True) -> Any:
    story.happens(
        AttemptClaimed(
            stage_id="one",
            packet_id=story.last_packet("one").packet_id,
            instance_id="worker_a",
            claim_id=claim_id,
            is_first_delivery=is_first_delivery,
        )
    )
    [answer] = [command.answer for command in story.commands if isinstance(command, AnswerClaim)]
    return answer


def killed(story: Story, times: int) -> None:
    """So many workers take it, begin, and are never heard of again."""
    for _ in range(times):
        story.progress("one", story.granted("one"), 0)
        story.falls_silent("one")


def test_a_claim_that_is_repeated_gets_the_same_attempt() -> None:
    story = Story(pipeline(stage("one")))

    answers = [claims(story, "claim_1"), claims(story, "claim_1")]

    assert answers[0] == answers[1]
    assert story.stage("one").attempt == 1


def test_an_attempt_whose_claim_is_repeated_has_its_whole_time_from_then_on() -> None:
    story = Story(pipeline(stage("one", timeout_seconds=20.0)))
    claims(story, "claim_1")
    story.later(15_000)

    claims(story, "claim_1")

    assert story.stage("one").times_out_at == story.circumstances.at_ms + 20_000


def test_another_claim_has_to_wait_while_the_attempt_is_alive() -> None:
    story = Story(pipeline(stage("one")))
    claims(story, "claim_1")

    assert isinstance(claims(story, "claim_2"), Later)


def test_a_repeated_claim_of_an_attempt_that_has_ended_gets_a_new_one() -> None:
    story = Story(pipeline(stage("one")))
    claims(story, "claim_1")
    story.fails("one", 1)
    story.wakes()

    answer = claims(story, "claim_1")

    assert isinstance(answer, Granted)
    assert answer.attempt == 2


def test_a_claim_of_an_attempt_that_its_packet_has_opened_gets_that_one() -> None:
    story = Story(pipeline(stage("one")), free=True)
    story.later(3_000)

    answer = claims(story, "claim_1")
    again = claims(story, "claim_1")
    others = claims(story, "claim_2")
    story.completes("one", 1)

    assert isinstance(answer, Granted)
    assert (answer.attempt, answer.grant.max_cost_usd, again) == (1, "0", answer)
    assert isinstance(others, Later)
    assert story.attempts() == [("one", 1, "success")]
    assert "STEP_RETRYING" not in story.event_types()


def test_an_attempt_that_was_claimed_though_its_packet_has_opened_it_is_lost_when_its_worker_falls_silent() -> None:
    story = Story(pipeline(stage("one")), free=True)
    claims(story, "claim_1")

    story.falls_silent("one")

    assert story.attempts() == [("one", 1, "worker_lost")]


def test_an_attempt_that_its_packet_has_opened_is_lost_when_the_packet_was_somebody_elses_before() -> None:
    story = Story(pipeline(stage("one")), free=True)

    answer = claims(story, "claim_1", is_first_delivery=False)

    assert isinstance(answer, Granted)
    assert answer.attempt == 2
    assert story.attempts() == [("one", 1, "worker_lost")]


def test_after_two_lost_workers_the_next_one_works_alone() -> None:
    story = Story(pipeline(stage("one")))

    alone = []
    for _ in range(4):
        attempt = story.granted("one")
        answers = [command.answer for command in story.commands if isinstance(command, AnswerClaim)]
        alone += [answer.alone for answer in answers if isinstance(answer, Granted)]
        story.progress("one", attempt, 0)
        story.falls_silent("one")

    assert alone == [False, False, True, True]


def test_free_work_that_two_workers_were_lost_with_is_claimed_and_granted_alone() -> None:
    story = Story(pipeline(stage("one")), free=True)
    grants = []
    for _ in range(2):
        packet = story.last_packet("one")
        grants.append(packet.grant)
        story.progress("one", packet.attempt, 0)
        story.falls_silent("one")

    answer = claims(story, "claim_1")

    assert None not in grants
    assert story.last_packet("one").grant is None
    assert isinstance(answer, Granted)
    assert (answer.attempt, answer.grant.max_cost_usd, answer.alone) == (3, "0", True)
    assert story.stage("one").losses == 2


def test_a_worker_that_is_lost_while_an_attempt_waits_to_be_alone_is_not_held_against_it() -> None:
    story = Story(pipeline(stage("one")))
    killed(story, 2)

    for _ in range(6):
        story.progress("one", story.granted("one"), 0, is_waiting=True)
        story.falls_silent("one")

    assert story.stage("one").losses == 2
    assert story.attempts()[-1] == ("one", 8, "not_begun")
    story.made("one")
    assert story.execution.ended_at is not None


def test_the_time_of_an_attempt_that_waits_to_be_alone_begins_when_it_begins() -> None:
    story = Story(pipeline(stage("one", timeout_seconds=20.0)))
    killed(story, 2)
    attempt = story.granted("one")
    for _ in range(10):
        story.later(20_000)
        story.progress("one", attempt, 0, is_waiting=True)

    story.progress("one", attempt, 0)

    assert story.stage("one").times_out_at == story.circumstances.at_ms + 20_000


def test_a_packet_that_took_five_workers_down_is_buried_with_the_reason() -> None:
    story = Story(pipeline(stage("one")))

    killed(story, 5)

    buried = [command for command in story.history if isinstance(command, BuryPacket)]
    assert [letter.packet.stage_id for letter in buried] == ["one"]
    assert "as 4 others did before" in buried[0].reason
    assert story.execution.failure_code == "worker_lost"
    retries = [data for data in story.events() if isinstance(data, StepRetrying)]
    assert [(data.attempt, data.code) for data in retries] == [(number, "worker_lost") for number in (1, 2, 3, 4)]


def test_the_account_of_an_attempt_tells_its_packet_holder_grant_and_result() -> None:
    story = Story(pipeline(stage("one")))

    story.made("one", {"made": "it"})

    account = next(command.account for command in story.commands if isinstance(command, RecordAttempt))
    assert (account.dispatches, account.instance_id, account.leg) == (1, "worker_a", 1)
    assert account.started_at == story.circumstances.at_ms
    assert account.grant is not None
    assert account.grant.max_cost_usd == "1"
    assert account.output is not None
    assert account.output.inline is None


def test_a_worker_that_repeats_its_claim_holds_the_attempt_for_a_whole_lease_from_then_on() -> None:
    story = Story(pipeline(stage("one")))
    claims(story, "claim_1")
    story.later(29_000)
    claims(story, "claim_1")

    story.later(29_000)
    story.happens(TimePassed())

    assert story.attempts() == []
    assert story.stage("one").status is StageStatus.RUNNING


def test_who_comes_for_a_packet_that_has_just_taken_its_last_worker_is_sent_away() -> None:
    story = Story(pipeline(stage("one")))
    killed(story, 4)
    story.progress("one", story.granted("one"), 0)
    story.later(30_000)

    answer = story.claim("one", by="worker_b")

    assert answer == Superseded()
    assert (story.execution.status, story.execution.failure_code) == (ExecutionStatus.FAILED, "worker_lost")


def test_an_attempt_that_never_began_gives_back_what_it_reserved_and_nothing_else() -> None:
    story = Story(pipeline(stage("one", max_cost_usd="9")))
    for _ in range(2):
        story.progress("one", story.granted("one"), 0)
        story.later(30_000)
    story.progress("one", story.granted("one"), 0, is_waiting=True)
    assert list(story.stage("one").reserved) == [1, 2, 3]
    story.later(30_000)

    story.granted("one")

    assert list(story.stage("one").reserved) == [1, 2, 4]


def test_who_has_to_wait_is_told_to_come_again_when_the_attempt_may_be_free_and_never_at_once() -> None:
    story = Story(pipeline(stage("one")))
    story.progress("one", story.granted("one"), 0)
    story.later(27_000)

    assert story.claim("one", by="worker_b") == Later(retry_after_ms=3_000, reason="another worker holds this attempt")
    story.later(2_990)
    assert story.claim("one", by="worker_b") == Later(retry_after_ms=100, reason="another worker holds this attempt")


def test_what_an_attempt_may_spend_is_reserved_until_its_worker_has_surely_had_its_last_word() -> None:
    story = Story(pipeline(stage("one", timeout_seconds=60.0)))

    story.granted("one")

    assert story.stage("one").reserved[1].until == story.circumstances.at_ms + 60_000 + 5_000 + 5_000


def test_a_packet_that_nobody_takes_is_offered_again_ever_later_and_at_least_every_hour() -> None:
    story = Story(pipeline(stage("one"), timeout_seconds=86_400.0))

    waits = []
    for _ in range(8):
        before = story.circumstances.at_ms
        story.wakes()
        waits.append(round((story.circumstances.at_ms - before) / 60_000))

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_an_attempt_whose_claim_is_repeated_keeps_its_money_for_its_whole_time_from_then_on() -> None:
    story = Story(pipeline(stage("one", timeout_seconds=20.0)))
    claims(story, "claim_1")
    story.later(15_000)

    claims(story, "claim_1")

    assert story.stage("one").reserved[1].until == story.circumstances.at_ms + 20_000 + 5_000 + 5_000
