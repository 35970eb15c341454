"""What the arrivals of a batch move on a client's account."""

from decimal import Decimal

from aif_orchestrator.engine.batch import Worked, moves_of
from aif_orchestrator.execution.commands import MoveAccount


def move(window: str, spent: int, reserved: int, energy: int = 0, *, is_admission: bool = False) -> MoveAccount:
    return MoveAccount(
        execution_id="exec_1",
        client_id="acme",
        window=window,
        is_admission=is_admission,
        spent_usd=Decimal(spent),
        reserved_usd=Decimal(reserved),
        energy_spent=energy,
        energy_reserved=-energy,
    )


def test_what_an_execution_moves_in_a_month_is_one_move_and_another_month_is_another_account() -> None:
    worked = Worked("exec_1", None)
    worked.moves = [move("2026-05", 1, -1, 2), move("2026-06", 0, 5, is_admission=True), move("2026-05", 3, -4, 6)]

    assert moves_of([worked]) == [move("2026-05", 4, -5, 8), move("2026-06", 0, 5, is_admission=True)]


def test_moves_of_which_one_has_to_fit_into_the_budget_have_to_fit_together() -> None:
    worked = Worked("exec_1", None)
    worked.moves = [move("2026-05", 1, -1), move("2026-05", 0, 5, is_admission=True)]

    assert moves_of([worked]) == [move("2026-05", 1, 4, is_admission=True)]
