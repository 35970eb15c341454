"""Everything that can go wrong in the terminal program and in the servers that it runs.

ConsoleFailure
├── EmbeddedServerFailure     a server that runs beside the services on one machine
│   ├── BinaryMissing         its program is not installed here
│   ├── PortTaken             somebody else listens where it should
│   ├── NoFreePort            we could not find one to listen on
│   ├── DataFolderInUse       another supervisor runs a server over the same folder
│   ├── DataFolderUnusable    we may not write where the data should be
│   ├── ClusterOfAnotherUser  the database files belong to somebody else
│   ├── NoUnprivilegedUser    Postgres refuses root, and no other user can reach the files
│   ├── ServerDidNotStart     it ended, or stayed silent, before it was ready
│   ├── ServerIsRunning       asked for something that needs it stopped
│   └── AdminPasswordLost     the cluster is there, its password is not
├── FactoryIsRunning          a factory runs over this data folder already
├── NatsUnusable              an address at which no NATS server listens
├── PostgresUnusable          an administrator's URL by which no role and no database can be made
├── UnusableName              a role, schema or database name that would need quoting
├── KeysNotMade               the first API keys of this factory could not be made up
├── NoApiKey                  a command has no key to show to the factory
├── BadInput                  the command line asks for something that cannot be
├── FactoryUnreachable        no factory answers
├── RequestRefused            the factory answered with a problem
├── ExecutionUnknown          there is no execution to look at
├── ReportUnavailable         a provider does not say what it has billed
└── CredentialsUnreadable     the credentials file does not hold what it should
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from aif_console.exit_codes import FAILED, REFUSED, UNREACHABLE
from aif_contracts.orders import FieldMistake


class ConsoleFailure(Exception):
    """Root of the tree. The message says what was wrong and what to do."""

    code: ClassVar[str] = "console_failure"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = FAILED
    """Of a command that ends by it."""


class EmbeddedServerFailure(ConsoleFailure):
    """An embedded server could not do what was asked of it."""

    code = "embedded_server_failure"


class BinaryMissing(EmbeddedServerFailure):
    """`mend` names the setting or the package that brings the program."""

    code = "binary_missing"

    def __init__(self, server: str, mend: str) -> None:
        super().__init__(f"no {server} program on this machine: {mend}")
        self.server = server


class PortTaken(EmbeddedServerFailure):
    """The port was asked for by number, so no other one is taken instead."""

    code = "port_taken"
    retryable = True

    def __init__(self, server: str, port: int) -> None:
        super().__init__(f"{server} cannot listen on 127.0.0.1:{port}: the port is taken; free it or name another")
        self.server = server
        self.port = port


class NoFreePort(EmbeddedServerFailure):
    """Every port that was tried is taken, or listening is forbidden here."""

    code = "no_free_port"
    retryable = True

    def __init__(self, first_port: int, last_port: int) -> None:
        super().__init__(
            f"no free port between {first_port} and {last_port} on 127.0.0.1: end some programs that listen there, or see "
            "whether this machine allows listening at all"
        )
        self.first_port = first_port
        self.last_port = last_port


class DataFolderInUse(EmbeddedServerFailure):
    """Two servers over one folder would destroy it."""

    code = "data_folder_in_use"

    def __init__(self, server: str, folder: Path) -> None:
        super().__init__(f"another supervisor runs {server} in {folder}: stop that one first or choose another data folder")
        self.server = server
        self.folder = folder


class DataFolderUnusable(EmbeddedServerFailure):
    """Missing rights, a file in the way, a full or read-only disk."""

    code = "data_folder_unusable"

    def __init__(self, server: str, folder: Path, reason: str) -> None:
        super().__init__(f"{server} cannot keep its data in {folder} ({reason}): choose a folder that you may write to")
        self.server = server
        self.folder = folder
        self.reason = reason


class ClusterOfAnotherUser(EmbeddedServerFailure):
    """As when the factory was last started by root and now by an ordinary user."""

    code = "cluster_of_another_user"

    def __init__(self, cluster: Path, owner_uid: int) -> None:
        super().__init__(
            f"the database files in {cluster} belong to user {owner_uid}: start as the one who started last (root for the "
            "user nobody), or hand the data folder over with chown -R"
        )
        self.cluster = cluster
        self.owner_uid = owner_uid


class NoUnprivilegedUser(EmbeddedServerFailure):
    """Started as root, and neither `nobody` nor a user namespace reaches the files."""

    code = "no_unprivileged_user"

    def __init__(self, folder: Path, program: Path) -> None:
        super().__init__(
            f"Postgres refuses to run as root, and the user nobody cannot reach both {folder} and {program}, neither "
            "directly nor in a user namespace: start as an ordinary user, or put data and virtual environment where every "
            "user may enter (for instance below /var/lib), or set AIF_POSTGRES_URL to a Postgres server of your own"
        )
        self.folder = folder
        self.program = program


class ServerDidNotStart(EmbeddedServerFailure):
    """`log_tail` holds the server's own last words."""

    code = "server_did_not_start"
    retryable = True

    def __init__(self, server: str, reason: str, log_tail: str, log_path: Path) -> None:
        said = log_tail.strip() or "(nothing)"
        super().__init__(f"{server} did not start: {reason}. Its log {log_path} ends:\n{said}")
        self.server = server
        self.reason = reason
        self.log_tail = log_tail
        self.log_path = log_path


class ServerIsRunning(EmbeddedServerFailure):
    """The store of a running server must not be touched."""

    code = "server_is_running"

    def __init__(self, server: str, wish: str) -> None:
        super().__init__(f"{server} is running: stop it before you {wish}")
        self.server = server


class AdminPasswordLost(EmbeddedServerFailure):
    """The password of an existing cluster cannot be guessed, and the data must not be thrown away."""

    code = "admin_password_lost"

    def __init__(self, credentials_path: Path, cluster: Path) -> None:
        super().__init__(
            f"{credentials_path} holds no valid password for the database cluster in {cluster}: restore that file from a "
            "backup, or move the cluster folder away to begin with an empty one"
        )
        self.credentials_path = credentials_path
        self.cluster = cluster


class FactoryIsRunning(ConsoleFailure):
    """Two factories over one folder would start every service twice."""

    code = "factory_is_running"

    def __init__(self, folder: Path, pid: int | None) -> None:
        by = f" (process {pid})" if pid is not None else ""
        super().__init__(f"a factory runs over {folder} already{by}: use it, stop it, or choose another folder with --data")
        self.folder = folder
        self.pid = pid


class NatsUnusable(ConsoleFailure):
    """`reason` names the address without a password."""

    code = "nats_unusable"

    def __init__(self, reason: str) -> None:
        super().__init__(f"no NATS server can be used ({reason}): name one that runs, as in nats://host:4222")


class PostgresUnusable(ConsoleFailure):
    """`reason` is the server's or the driver's, without a password."""

    code = "postgres_unusable"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"roles and databases cannot be made in Postgres ({reason}): name a server that runs and a role that may, "
            "as in postgresql://admin:password@host:5432/postgres"
        )


class UnusableName(ConsoleFailure):
    """Names of roles, schemas and databases are kept plain, so that they read the same in every tool."""

    code = "unusable_name"

    def __init__(self, field: str, name: str) -> None:
        super().__init__(f"{field} {name!r} is not usable: write lower-case letters, digits and _, a letter first, 63 at most")
        self.field = field
        self.name = name


class KeysNotMade(ConsoleFailure):
    """The gateway's program for it is missing or broken."""

    code = "keys_not_made"

    def __init__(self, reason: str) -> None:
        super().__init__(f"no API keys could be made up ({reason}): install ai-factory[kam] beside this program")


class NoApiKey(ConsoleFailure):
    """Neither given, nor in the environment, nor in the data folder."""

    code = "no_api_key"
    exit_code = REFUSED

    def __init__(self, reason: str, variable: str) -> None:
        super().__init__(f"no API key ({reason}): give one with --key or {variable}, or name the data folder with --data")


class BadInput(ConsoleFailure):
    """Found before anything was sent."""

    code = "bad_input"
    exit_code = REFUSED

    def __init__(self, field: str, message: str, mend: str) -> None:
        super().__init__(f"{field}: {message}\n  -> {mend}")
        self.field = field


class FactoryUnreachable(ConsoleFailure):
    """Nobody listens, or what listens does not serve."""

    code = "factory_unreachable"
    retryable = True
    exit_code = UNREACHABLE

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}\n  -> start one with `aif up`, or name another with --url or AIF_URL")


class RequestRefused(ConsoleFailure):
    """A problem document; its mistakes name fields as the HTTP interface does."""

    code = "request_refused"
    exit_code = REFUSED

    def __init__(
        self, title: str, detail: str, mistakes: Sequence[FieldMistake], *, status: int | None = None, mend: str = ""
    ) -> None:
        """`mend` is what the terminal knows to do about it."""
        # With mistakes at hand the detail only says them again.
        lines = [title if title and mistakes else f"{title}: {detail}" if title and detail else title or detail]
        for mistake in mistakes:
            lines.append(f"  {mistake.field}: {mistake.message}")
            if mistake.mend:
                lines.append(f"  -> {mistake.mend}")
        if mend:
            lines.append(f"  -> {mend}")
        super().__init__("\n".join(lines))
        self.title = title
        self.detail = detail
        self.mistakes = tuple(mistakes)
        self.status = status


class ReportUnavailable(ConsoleFailure):
    """No statement, so nothing can be compared."""

    code = "report_unavailable"
    retryable = True
    exit_code = REFUSED

    def __init__(self, provider: str, reason: str) -> None:
        super().__init__(f"{provider} does not say what it has billed: {reason}")
        self.provider = provider


class ExecutionUnknown(ConsoleFailure):
    """As for a request that was refused."""

    code = "execution_unknown"
    exit_code = REFUSED

    def __init__(self, some_id: str, reason: str) -> None:
        super().__init__(f"{some_id} has no execution: {reason}")


class CredentialsUnreadable(ConsoleFailure):
    """Overwriting the file would lose passwords that may still be in use."""

    code = "credentials_unreadable"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} does not hold the names and passwords that it should ({reason}): restore it or remove it")
        self.path = path
