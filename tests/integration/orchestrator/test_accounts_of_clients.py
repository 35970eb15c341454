"""Clients' accounts: what fits, what is charged whether it fits or not, what budgets change in them, and who waits for whom."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from aif_contracts.budgets import BUDGET_EXCEEDED, BUDGET_RESERVED, ENERGY_EXCEEDED, BudgetPolicy, BudgetView, SetBudget
from aif_orchestrator.execution.commands import MoveAccount
from aif_orchestrator.store.accounts import AccountStore, DefaultBudget
from aif_orchestrator.store.budgets import BudgetStore
from aif_runtime.postgres import Database
from aif_runtime.sql_files import load_queries
from support.orchestrator_line import orchestrator_database
from support.waiting import eventually

QUERIES = load_queries("aif_orchestrator.store")
DEFAULT = DefaultBudget(limit_usd="1", energy_limit=10)
ACCOUNTS = AccountStore(QUERIES, DEFAULT)
BUDGETS = BudgetStore(QUERIES, DEFAULT)
THIS_MONTH = "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')"
LOCKED = "SELECT 1 FROM budget_windows WHERE client_id = $1 FOR UPDATE"
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.fixture
async def database(fresh_orchestrator_database: str) -> AsyncIterator[Database]:
    async with orchestrator_database(fresh_orchestrator_database) as opened:
        yield opened


class Books:
    """Moves of this month, each entered by a transaction of its own unless they are said to come together."""

    def __init__(self, database: Database, month: str) -> None:
        self.database = database
        self._month = month

    def settled(
        self,
        spent: str,
        held: str = "0",
        *,
        client: str = "acme",
        by: str = "exec_1",
        energy: int = 0,
        month: str | None = None,
    ) -> MoveAccount:
        return replace(self._move(client, by, (spent, held), (energy, 0), is_admission=False), window=month or self._month)

    def admitted(
        self, held: str, spent: str = "0", *, client: str = "acme", by: str = "exec_1", energy: tuple[int, int] = (0, 0)
    ) -> MoveAccount:
        return self._move(client, by, (spent, held), energy, is_admission=True)

    def _move(
        self, client: str, by: str, usd_moved: tuple[str, str], energy: tuple[int, int], *, is_admission: bool
    ) -> MoveAccount:
        return MoveAccount(
            execution_id=by,
            client_id=client,
            window=self._month,
            is_admission=is_admission,
            spent_usd=Decimal(usd_moved[0]),
            reserved_usd=Decimal(usd_moved[1]),
            energy_spent=energy[0],
            energy_reserved=energy[1],
        )

    async def enter(self, *moves: MoveAccount) -> dict[str, str]:
        """Those that do not fit; then nothing is entered, as a batch takes everything back."""
        async with self.database.connection() as connection:
            transaction = connection.transaction()
            await transaction.start()
            refused = await ACCOUNTS.move(connection, moves)
            await (transaction.rollback() if refused else transaction.commit())
        return refused

    async def of(self, client: str = "acme") -> tuple[str, str, int, int]:
        """Spent and reserved, in money and in energy."""
        view = await self.view(client)
        return view.spent_usd, view.reserved_usd, view.energy_spent, view.energy_reserved

    async def view(self, client: str = "acme") -> BudgetView:
        async with self.database.connection() as connection:
            return await BUDGETS.find(connection, client)

    async def page(self, after: str = "", limit: int = 10) -> list[BudgetView]:
        async with self.database.connection() as connection:
            return await BUDGETS.list_page(connection, after, limit)

    async def set(self, client: str = "acme", **said: Any) -> None:
        async with self.database.transaction() as connection:
            await BUDGETS.save(connection, SetBudget(client_id=client, decided_by="ada", **said))

    async def blocked(self) -> frozenset[str]:
        async with self.database.connection() as connection:
            return await ACCOUNTS.blocked_clients(connection)

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.database.connection() as connection:
            return [tuple(row) for row in await connection.fetch(query)]

    async def somebody_waits(self) -> bool:
        async with self.database.connection() as connection:
            return bool(await connection.fetchval(WAITING))


@pytest.fixture
async def books(database: Database) -> Books:
    async with database.connection() as connection:
        return Books(database, await connection.fetchval(THIS_MONTH))


async def test_what_spends_and_holds_exactly_what_is_left_fits_and_no_millionth_more(books: Books) -> None:
    await books.enter(books.admitted("0.25", energy=(1, 2)), books.settled("0.25", energy=3, by="exec_2"))

    too_dear = await books.enter(books.admitted("0.4", "0.100001", by="exec_3"))
    too_tiring = await books.enter(books.admitted("0.1", by="exec_3", energy=(2, 3)))
    fitting = await books.enter(books.admitted("0.4", "0.1", by="exec_3", energy=(2, 2)))

    assert (too_dear, too_tiring, fitting) == ({"exec_3": BUDGET_RESERVED}, {"exec_3": ENERGY_EXCEEDED}, {})
    assert await books.of() == ("0.35", "0.65", 6, 4)


async def test_waiting_helps_as_long_as_what_is_spent_leaves_room_for_it(books: Books) -> None:
    await books.enter(books.admitted("0.5"), books.settled("0.25", by="exec_2"))

    last_that_fits = await books.enter(books.admitted("0.5", "0.25", by="exec_3"))
    first_that_never_will = await books.enter(books.admitted("0.5", "0.250001", by="exec_3"))

    assert (last_that_fits, first_that_never_will) == ({"exec_3": BUDGET_RESERVED}, {"exec_3": BUDGET_EXCEEDED})


async def test_a_charge_beyond_the_limit_is_entered_and_so_is_what_is_given_back_of_it(books: Books) -> None:
    await books.enter(books.admitted("1"))

    assert await books.enter(books.settled("1.5", "-0.5")) == {}
    assert await books.enter(books.settled("0", "0.25", by="exec_2")) == {}
    assert await books.enter(books.settled("-0.25", "-0.5")) == {}
    assert await books.of() == ("1.25", "0.25", 0, 0)
    assert await books.enter(books.admitted("0.01", by="exec_3")) == {"exec_3": BUDGET_EXCEEDED}


async def test_what_one_gives_back_another_of_the_same_batch_may_hold(books: Books) -> None:
    await books.enter(books.admitted("1", by="exec_2", energy=(0, 10)))

    refused = await books.enter(books.admitted("0.75", by="exec_1"), books.settled("0.25", "-1", by="exec_2"))

    assert refused == {}
    assert await books.of() == ("0.25", "0.75", 0, 10)


async def test_of_a_batch_that_does_not_fit_all_that_do_not_are_named_and_the_first_by_id_is_none_of_them(books: Books) -> None:
    refused = await books.enter(*(books.admitted("0.75", by=f"exec_{number}") for number in (3, 1, 2)))

    assert refused == {"exec_2": BUDGET_RESERVED, "exec_3": BUDGET_RESERVED}


async def test_an_account_begins_with_what_was_said_of_its_client_and_else_with_the_operators_default(books: Books) -> None:
    await books.set(limit_usd="2", policy=BudgetPolicy.WARN, energy_limit=None)
    await books.enter(books.admitted("1"), books.admitted("1", client="beta", by="exec_2"))

    own, default = await books.view("acme"), await books.view("beta")

    assert (own.limit_usd, own.policy, own.energy_limit) == ("2", BudgetPolicy.WARN, None)
    assert (default.limit_usd, default.policy, default.energy_limit) == ("1", BudgetPolicy.SOFT_BLOCK, 10)


async def test_every_move_is_an_entry_that_says_whether_it_had_to_fit(books: Books) -> None:
    await books.enter(books.admitted("0.5", energy=(0, 4)), books.settled("0.25", "-0.125", by="exec_2", energy=3))

    entries = "SELECT execution_id, kind, spent_usd, reserved_usd, energy_spent, energy_reserved FROM ledger_entries ORDER BY 1"
    assert await books.rows(entries) == [
        ("exec_1", "admission", Decimal(0), Decimal("0.5"), 0, 4),
        ("exec_2", "settlement", Decimal("0.25"), Decimal("-0.125"), 3, 0),
    ]


async def test_work_under_way_stops_for_those_who_are_beyond_a_hard_limit_of_this_month(books: Books) -> None:
    for client, policy in (("full", "hard_block"), ("beyond", "hard_block"), ("soft", "soft_block"), ("before", "hard_block")):
        await books.set(client, policy=BudgetPolicy(policy))
    await books.enter(
        books.settled("0.5", "0.5", client="full"),
        books.settled("0.5", "0.500001", client="beyond"),
        books.settled("2", client="soft"),
        books.settled("2", client="before", month="2020-01"),
    )

    assert await books.blocked() == {"beyond"}


async def test_what_is_not_said_of_a_budget_stays_as_it_was_and_is_the_operators_default_at_first(books: Books) -> None:
    terms = []
    hard = BudgetPolicy.HARD_BLOCK
    for said in ({"limit_usd": "2"}, {"energy_limit": 5}, {"policy": hard}, {"energy_limit": None}, {"limit_usd": "3"}):
        await books.set(**said)
        view = await books.view()
        terms.append((view.limit_usd, view.policy, view.energy_limit, view.is_default))

    assert terms == [
        ("2", BudgetPolicy.SOFT_BLOCK, 10, False),
        ("2", BudgetPolicy.SOFT_BLOCK, 5, False),
        ("2", BudgetPolicy.HARD_BLOCK, 5, False),
        ("2", BudgetPolicy.HARD_BLOCK, None, False),
        ("3", BudgetPolicy.HARD_BLOCK, None, False),
    ]


async def test_what_is_said_of_a_client_changes_neither_months_that_are_over_nor_accounts_of_others(books: Books) -> None:
    await books.enter(*(books.settled("0.75", client=client) for client in ("acme", "beta")))
    await books.enter(books.settled("0.75", month="2020-01"))

    await books.set(limit_usd="0.5", policy=BudgetPolicy.WARN, energy_limit=3)
    other = await books.view("beta")
    async with books.database.connection() as connection:
        await BudgetStore(QUERIES, DefaultBudget(limit_usd="0.25", energy_limit=4)).apply_defaults(connection)

    assert (other.limit_usd, other.policy, other.energy_limit) == ("1", BudgetPolicy.SOFT_BLOCK, 10)
    assert await books.rows(
        "SELECT client_id, limit_usd, policy, energy_limit, excess_usd FROM budget_windows ORDER BY 1, budget_window"
    ) == [
        ("acme", Decimal(1), "soft_block", 10, Decimal(0)),
        ("acme", Decimal("0.5"), "warn", 3, Decimal("0.25")),
        ("beta", Decimal("0.25"), "soft_block", 4, Decimal("0.5")),
    ]


async def test_a_budget_of_which_one_thing_is_said_has_the_operators_default_for_the_other_in_the_running_month(
    books: Books,
) -> None:
    await books.enter(*(books.admitted("0.5", client=client) for client in ("acme", "beta", "gamma")))

    await books.set("acme", policy=BudgetPolicy.WARN)
    await books.set("beta", limit_usd="0.25")
    await books.set("gamma", energy_limit=5)

    terms = "SELECT client_id, limit_usd, policy, energy_limit, excess_usd FROM budget_windows ORDER BY 1"
    assert await books.rows(terms) == [
        ("acme", Decimal(1), "warn", 10, Decimal(0)),
        ("beta", Decimal("0.25"), "soft_block", 10, Decimal("0.25")),
        ("gamma", Decimal(1), "soft_block", 5, Decimal(0)),
    ]


async def test_budgets_are_listed_by_client_each_once_whoever_has_a_budget_or_spends_this_month(books: Books) -> None:
    for client in ("gamma", "beta"):
        await books.set(client, limit_usd="2", policy=BudgetPolicy.WARN, energy_limit=None)
    await books.enter(*(books.settled("0.5", "0.25", client=client, energy=3) for client in ("gamma", "alpha")))
    await books.enter(books.settled("0.5", client="before", month="2020-01"))

    listed = await books.page()

    assert [(each.client_id, each.is_default, each.spent_usd) for each in listed] == [
        ("alpha", True, "0.5"),
        ("beta", False, "0"),
        ("gamma", False, "0.5"),
    ]
    assert listed == [await books.view(each.client_id) for each in listed]
    assert [await books.page("", 2), await books.page("beta", 2), await books.page("gamma")] == [listed[:2], listed[2:], []]


async def test_a_month_that_has_begun_shows_the_terms_that_it_goes_by(books: Books) -> None:
    """Not what is said by now of the client, nor the default of a replica that has begun with another one."""
    await books.set("beta", limit_usd="2", policy=BudgetPolicy.HARD_BLOCK, energy_limit=5)
    await books.enter(books.settled("0.5"), books.settled("0.5", client="beta"))
    await books.enter(*(books.settled("7", "7", client=client, energy=7, month="2020-01") for client in ("acme", "beta")))

    await books.rows("UPDATE budget_windows SET limit_usd = 3, policy = 'warn', energy_limit = NULL")

    for view in (await books.view(), await books.view("beta"), *await books.page()):
        assert (view.limit_usd, view.policy, view.energy_limit) == ("3", BudgetPolicy.WARN, None)
        assert (view.spent_usd, view.reserved_usd, view.energy_spent, view.energy_reserved) == ("0.5", "0", 0, 0)


async def test_of_two_batches_at_once_the_second_is_decided_by_what_the_first_has_entered(books: Books) -> None:
    await books.enter(books.admitted("0.1"))
    async with books.database.connection() as first:
        transaction = first.transaction()
        await transaction.start()
        await first.execute(LOCKED, "acme")

        second = asyncio.create_task(books.enter(books.admitted("0.6", by="exec_3")))
        await eventually(books.somebody_waits)
        await ACCOUNTS.move(first, [books.admitted("0.6", by="exec_2")])
        await transaction.commit()

    assert await second == {"exec_3": BUDGET_RESERVED}


@pytest.mark.parametrize("exist", [True, False])
async def test_batches_with_the_same_clients_in_whatever_order_never_wait_for_each_other(books: Books, exist: bool) -> None:
    clients = [f"client_{number:02d}" for number in range(40)]
    backwards = [books.settled("0.1", client=client) for client in reversed(clients)]
    if exist:
        await books.enter(*backwards)
    async with books.database.connection() as first:
        transaction = first.transaction()
        await transaction.start()
        if exist:
            await first.execute(LOCKED, clients[0])
        else:
            await ACCOUNTS.move(first, [books.settled("0.1", client=clients[0])])

        second = asyncio.create_task(books.enter(*backwards))
        await eventually(books.somebody_waits)
        await ACCOUNTS.move(first, [books.settled("0.1", client=client) for client in clients[1:]])
        await transaction.commit()

    assert await second == {}
