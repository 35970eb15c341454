"""What goes wrong in one history, and how often."""

import random

from msgspec import Struct

SCARCE = ("0.3", "2", "3", "5")
ALL_OF_IT = "1"


class Weather(Struct, frozen=True, kw_only=True):
    """Fields without a unit are probabilities, each time there is an occasion. The defaults are a calm day."""

    replicas: int = 3
    """Of the orchestrator."""
    crash: float = 0.0
    """A replica of the orchestrator dies between two effects."""
    refused_commit: float = 0.0
    """The database is away: nothing is stored."""
    unknown_commit: float = 0.0
    """The commit is done, but reported as failed."""
    lag: float = 0.0
    """A replica's reckoning of the database's clock is behind."""
    lost_answer: float = 0.0
    lost_offer: float = 0.0
    """A packet that is offered, or a report to the replica that had offered it, is lost without a word."""
    death: float = 0.0
    """A worker dies between two effects."""
    freeze: float = 0.0
    """A worker stops for up to two minutes between two effects, and does not know it."""
    twice: float = 0.0
    """A message is delivered again although it is in somebody's hands, or published again because its confirmation was lost."""
    slow: float = 0.0
    """A message is under way for up to a minute."""
    large: float = 0.2
    """What is made is too large for a report, and is stored."""
    slow_store: float = 0.0
    """Reading or storing takes many seconds."""
    hand_back: float = 0.0
    """A worker process ends in an orderly way and gives its packet back."""
    decline: float = 0.0
    failure: float = 0.0
    """An attempt fails, or makes something that breaks its validation."""
    cancels: bool = False
    """Clients change their minds, at any time, and give up now and then what is being undone."""
    pauses: float = 0.0
    """An order is paused, once for certain and then perhaps again."""
    resumes: float = 0.0
    """What has failed, was cancelled or completed in part is tried again."""
    inattention: float = 0.0
    """A person forgets what waits for them."""
    thrift: float = 0.0
    """An order may cost very little."""
    delays: float = 0.0
    """An order is to start later."""
    budget_usd: str = "100"
    """What the client may spend in a month."""
    spends_it_all: bool = False
    """The client orders small things until its budget is used up."""
    deciding: float = 0.0
    """Somebody decides what a call without an answer has cost: first at the most that it can be, then perhaps as it was."""
    wipes_at: tuple[int, ...] = ()
    """Milliseconds after the start at which the broker loses all that it stores."""
    forgets_at: tuple[int, ...] = ()
    """When the broker restarts and forgets the ids of what it has delivered."""
    replays_at: tuple[int, ...] = ()
    """When old messages come again as new ones."""

    @property
    def means_failures(self) -> bool:
        """Executions may end without success although the factory does all it should."""
        return self.failure > 0 or self.cancels or self.thrift > 0 or self.inattention > 0 or self.spends_it_all


def weather_of(chance: random.Random) -> Weather:
    """A quarter of the histories has little trouble, the others several kinds at once."""

    def some(often: float, most: float) -> float:
        return chance.random() * most if chance.random() < often else 0.0

    def moments(often: float, most: int = 2) -> tuple[int, ...]:
        if chance.random() >= often:
            return ()
        return tuple(int(chance.random() ** 2 * 120_000) for _ in range(1 + int(chance.random() * most)))

    often = 0.15 if chance.random() < 0.25 else 0.7
    slow_store = 0.9 if chance.random() < often / 2 else 0.0
    spends_it_all = chance.random() < 0.004
    is_scarce = chance.random() < 0.2
    return Weather(
        crash=some(often, 0.06),
        refused_commit=some(often / 2, 0.2),
        unknown_commit=some(often / 2, 0.1),
        lag=some(often / 2, 0.5),
        lost_answer=some(often / 2, 0.2),
        lost_offer=some(often / 2, 0.3),
        death=some(often, 0.04),
        freeze=some(often, 0.04),
        twice=some(often, 0.3),
        slow=some(often, 0.1),
        large=0.95 if slow_store else 0.2,
        slow_store=slow_store,
        hand_back=some(often / 4, 0.1),
        decline=some(often / 4, 0.1),
        failure=some(often, 0.4),
        cancels=chance.random() < 0.2,
        pauses=some(0.25, 1.0),
        resumes=some(0.6, 1.0),
        inattention=some(often / 4, 0.5),
        thrift=some(0.35, 1.0),
        delays=some(0.2, 1.0),
        budget_usd=ALL_OF_IT if spends_it_all else chance.choice(SCARCE) if is_scarce else "100",
        spends_it_all=spends_it_all,
        deciding=some(0.7, 1.0),
        wipes_at=moments(often / 2, most=16),
        forgets_at=moments(often / 2),
        replays_at=moments(often / 2),
        replicas=1 if chance.random() < 0.15 else 3,
    )
