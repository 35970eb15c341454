"""A pool of Postgres connections with time limits everywhere, and the one place where driver errors become ours.

A query that hangs ends after 5 s, a lock is waited for 2 s, a transaction left idle is ended after 10 s. After a restart of
Postgres the pool replaces its dead connections as they are asked for; whoever held one gets DatabaseUnavailable.

A network that loses what is sent, and says nothing, is noticed by both sides within about 10 s: by the system's probes on an
idle connection, else by the time that a statement takes. Neither side keeps a connection, its locks and its place among
`max_connections` for one who cannot be reached.

Those who only read have a part of the connections, however many they are: the others are there for what changes something.
Where all are in use, or all of the readers', who came first goes first.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from functools import partial
from traceback import walk_tb
from typing import TYPE_CHECKING, Self

import asyncpg

from aif_runtime.connection_line import ConnectionLine, before_all
from aif_runtime.failures import AlreadyStored, DatabaseUnavailable, SettingsInvalid, TooManyRead, TooManyWait
from aif_runtime.recent_trouble import RecentTrouble

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.pool.PoolConnectionProxy
    Pool = asyncpg.Pool

Record = asyncpg.Record

STATEMENT_SECONDS = 5.0
ANSWER_SECONDS = 6.0
"""Above the server's own limit, so that it only speaks when the server cannot."""
LOCK_SECONDS = 2.0
IDLE_IN_TRANSACTION_SECONDS = 10.0
CONNECT_SECONDS = 5.0
ACQUIRE_SECONDS = 2.0
CLOSE_SECONDS = 5.0
MOST_CONNECTIONS = 10
READERS_CONNECTIONS = 4
"""Of these."""
TOO_MANY_READ = "too many read at once; try again in a moment"
PROBE_AFTER_SECONDS, PROBE_EACH_SECONDS, UNANSWERED_PROBES = 4, 2, 3
"""Of an idle TCP connection, by either side. The systems' own defaults take hours."""
UNHEARD_MILLISECONDS = 10_000
"""So long may what was sent over TCP be unconfirmed."""
SEND_BUFFER_BYTES = 1 << 20
"""More than a statement of ours has, but for the rarest."""

_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
_BUSY = (
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
_REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)

_is_reading = ContextVar("is_reading", default=False)


@contextlib.contextmanager
def reading(is_reading: bool = True) -> Iterator[None]:
    """What is asked for in the block, by the code that it calls as well, is asked for by a reader; or by none, for what others
    wait for, too."""
    before = _is_reading.set(is_reading)
    try:
        yield
    finally:
        _is_reading.reset(before)


class Database:
    """`json` and `jsonb` columns are bytes in both directions: encode and decode them with the struct you mean.

    A connection given back keeps what `SET` changed in its session: use `SET LOCAL`.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        acquire_seconds: float = ACQUIRE_SECONDS,
        patience_seconds: float = ACQUIRE_SECONDS,
        readers_seconds: float | None = None,
    ) -> None:
        self._pool = pool
        self._acquire_seconds = acquire_seconds
        patience_seconds = max(acquire_seconds, patience_seconds)
        count = pool.get_max_size()
        self._line = ConnectionLine(
            count,
            standing_seconds=acquire_seconds,
            patience_seconds=patience_seconds,
            refusal=partial(_refusal, count, acquire_seconds, patience_seconds),
        )
        self._for_readers = ConnectionLine(
            READERS_CONNECTIONS,
            standing_seconds=acquire_seconds,
            patience_seconds=patience_seconds if readers_seconds is None else readers_seconds,
            refusal=lambda _: TooManyRead(TOO_MANY_READ),
            behind=self._line,
        )
        self._full_disk = RecentTrouble()
        """A server without room goes on reading, and answers whoever only asks."""

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        application_name: str,
        schema: str | None = None,
        min_size: int = 1,
        max_size: int = MOST_CONNECTIONS,
        acquire_seconds: float = ACQUIRE_SECONDS,
        patience_seconds: float = ACQUIRE_SECONDS,
        readers_seconds: float | None = None,
    ) -> Self:
        """Connect. `schema` becomes the search path; None leaves the role's own. Who waits for a connection does so for
        `patience_seconds` while others get theirs, who only reads for `readers_seconds`, if that is given.

        Raises DatabaseUnavailable, SettingsInvalid."""
        limits = {
            "application_name": application_name,
            "statement_timeout": _milliseconds(STATEMENT_SECONDS),
            "lock_timeout": _milliseconds(LOCK_SECONDS),
            "idle_in_transaction_session_timeout": _milliseconds(IDLE_IN_TRANSACTION_SECONDS),
            "timezone": "UTC",
            # Over a Unix socket these say nothing.
            "tcp_keepalives_idle": str(PROBE_AFTER_SECONDS),
            "tcp_keepalives_interval": str(PROBE_EACH_SECONDS),
            "tcp_keepalives_count": str(UNANSWERED_PROBES),
            "tcp_user_timeout": str(UNHEARD_MILLISECONDS),
        }
        if schema is not None:
            limits["search_path"] = schema
        with _translated():
            pool = await asyncpg.create_pool(
                url,
                min_size=min_size,
                max_size=max_size,
                timeout=CONNECT_SECONDS,
                command_timeout=ANSWER_SECONDS,
                server_settings=limits,
                init=_prepare_connection,
                reset=_keep_session,
            )
        return cls(pool, acquire_seconds=acquire_seconds, readers_seconds=readers_seconds, patience_seconds=patience_seconds)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection without a transaction around it. Raises DatabaseUnavailable, at once or in the middle."""
        if not _is_reading.get():
            async with self._any_connection() as connection:
                yield connection
            return
        async with self._for_readers.place(), self._any_connection() as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def _any_connection(self) -> AsyncIterator[Connection]:
        async with self._line.place():
            with _translated():
                connection = await self._pool.acquire(timeout=self._acquire_seconds)
            try:
                with _translated(lambda: _is_cut(connection), self._full_disk):
                    yield connection
            finally:
                with contextlib.suppress(*_AWAY, asyncpg.InterfaceError):
                    await self._pool.release(connection, timeout=self._acquire_seconds)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside a transaction, committed at the end of the block and rolled back by an exception.

        Raises DatabaseUnavailable. When it is raised at the commit, the outcome is unknown: do it again only where that is
        harmless.
        """
        async with self.connection() as connection, connection.transaction():
            yield connection

    def held(self) -> "HeldConnection":
        """For a task that uses a connection again and again: to fetch one from the pool each time costs as much as a small
        statement."""
        return HeldConnection(self._pool, self._line, self._acquire_seconds, self._full_disk)

    async def check(self) -> str | None:
        """For the health page, whoever asks: a process that many want something of is not ill."""
        with before_all():
            async with self._any_connection() as connection:
                await connection.fetchval("SELECT 1")
        return self._full_disk.words

    async def close(self, within_seconds: float = CLOSE_SECONDS) -> None:
        """Wait for all connections to come back, for so long at most; then cut them."""
        try:
            async with asyncio.timeout(within_seconds):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()


class HeldConnection:
    """One connection for one task at a time, fetched when it is first used and replaced when it is gone."""

    def __init__(self, pool: Pool, line: ConnectionLine, acquire_seconds: float, full_disk: RecentTrouble) -> None:
        self._pool = pool
        self._line = line
        self._acquire_seconds = acquire_seconds
        self._full_disk = full_disk
        self._connection: Connection | None = None

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Without a transaction around it. Raises DatabaseUnavailable, at once or in the middle."""
        connection = self._connection
        if connection is None or _is_cut(connection):
            await self.close()
            connection = self._connection = await self._fetched()
        try:
            with _translated(lambda: _is_cut(connection), self._full_disk):
                yield connection
        except BaseException:
            # Whatever state it was left in: the pool looks after it.
            await self.close()
            raise

    async def close(self) -> None:
        """Give it back to the pool; it is fetched anew when it is used again."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            with contextlib.suppress(*_AWAY, asyncpg.InterfaceError):
                await self._pool.release(connection, timeout=self._acquire_seconds)
        finally:
            self._line.leave()

    async def _fetched(self) -> Connection:
        await self._line.enter()
        try:
            with _translated():
                return await self._pool.acquire(timeout=self._acquire_seconds)
        except BaseException:
            self._line.leave()
            raise


def _refusal(count: int, standing_seconds: float, patience_seconds: float, is_moving: bool) -> DatabaseUnavailable:
    in_use = f"all {count} connections of this process to Postgres were in use"
    if is_moving:
        return TooManyWait(f"{in_use} by others for {patience_seconds:g} s")
    return DatabaseUnavailable(f"{in_use} for {standing_seconds:g} s")


@contextlib.contextmanager
def _translated(is_cut: Callable[[], bool] = lambda: True, full_disk: RecentTrouble | None = None) -> Iterator[None]:
    """`is_cut` tells whether the connection in use is gone: InterfaceError can mean that, or a bug of ours. `full_disk` is told
    when the server has no room."""
    try:
        yield
    except asyncpg.ClientConfigurationError as mistake:
        raise SettingsInvalid((f"the database URL cannot be used: {mistake}",)) from mistake
    except _REFUSED as refusal:
        raise DatabaseUnavailable(f"Postgres refuses us: {refusal}") from refusal
    except asyncpg.UniqueViolationError as taken:
        raise AlreadyStored(str(taken)) from taken
    except _AWAY as failure:
        if isinstance(failure, OSError) and not _is_of_the_driver(failure):
            raise
        raise DatabaseUnavailable(f"Postgres cannot be reached: {_in_words(failure)}") from failure
    except asyncpg.DiskFullError as failure:
        words = f"the disk of Postgres is full: {failure}"
        if full_disk is not None:
            full_disk.note(words)
        raise DatabaseUnavailable(words) from failure
    except _BUSY as failure:
        raise DatabaseUnavailable(f"Postgres could not finish in time: {failure}") from failure
    except asyncpg.InternalClientError as failure:
        # A server that dies says so to its idle connections; until the end of the stream is read too, the driver only knows
        # that it cannot send a query now.
        raise DatabaseUnavailable(f"Postgres has left this connection: {failure}") from failure
    except asyncpg.InterfaceError as failure:
        if not is_cut():
            raise
        raise DatabaseUnavailable(f"the connection to Postgres is gone: {failure}") from failure


def _is_of_the_driver(failure: BaseException) -> bool:
    """A file that is missing, or a limit of time of its own, is for the block to tell that uses the connection."""
    return any(frame.f_globals.get("__name__", "").startswith("asyncpg.") for frame, _ in walk_tb(failure.__traceback__))


def _in_words(failure: BaseException) -> str:
    if isinstance(failure, FileNotFoundError) and failure.filename is None:
        # All that the kernel says of a Unix socket; of a file it would have said which.
        return "there is no Unix socket where the database URL says, so it does not run or has its socket elsewhere"
    if isinstance(failure, BlockingIOError):
        # The kernel's own words tell of a resource.
        return "it takes no more connections at its Unix socket, so it hangs, or too many wait there"
    if isinstance(failure, TimeoutError):
        return "no answer in time"
    return str(failure) or type(failure).__name__


def _is_cut(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True  # the pool takes a connection back by itself when it dies


async def _prepare_connection(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    # The driver shows its socket nowhere else.
    opened = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined]
    if opened.family == socket.AF_UNIX:
        _let_large_statements_leave_at_once(opened)
    else:
        _notice_a_lost_network(opened)
    for type_name in ("json", "jsonb"):
        await connection.set_type_codec(type_name, schema="pg_catalog", encoder=bytes.decode, decoder=str.encode)


def _let_large_statements_leave_at_once(opened: socket.socket) -> None:
    """A Unix socket takes 208 KB by default. The rest of a larger statement leaves in later turns of the event loop, which may
    be long, and the server waits for it.

    TCP finds the right size by itself. The system may allow less than is asked for.
    """
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)


def _notice_a_lost_network(opened: socket.socket) -> None:
    """As the server does for its side; as far as this system can."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", PROBE_AFTER_SECONDS),
        ("TCP_KEEPINTVL", PROBE_EACH_SECONDS),
        ("TCP_KEEPCNT", UNANSWERED_PROBES),
        ("TCP_USER_TIMEOUT", UNHEARD_MILLISECONDS),
    ):
        if hasattr(socket, option):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


async def _keep_session(_connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Spares the round trip of a session reset at every release; an open transaction has been rolled back before."""


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))
