"""What a factory on one machine consists of, and what each service may see of the operator's environment."""

import os
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from msgspec import Struct, field

from aif_runtime.settings import PREFIX

DEFAULT_PORT = 8420
DATABASE = "ai_factory"


class ServiceKind(Struct, frozen=True, kw_only=True):
    """One kind of process of the factory."""

    name: str
    arguments: tuple[str, ...]
    """For the Python interpreter, for example `-m aif_kam`."""
    has_database: bool = False
    """It owns a role and a schema of its own name."""
    reads: tuple[str, ...] = ()
    """Patterns of the operator's variables that are its own. What no service reads, none gets."""


EVERY_SERVICE_READS = (
    *("AIF_LOG_LEVEL*", "AIF_DRAIN_SECONDS*", "AIF_BLOBS_URL*", "AIF_HEALTH_HOST*"),
    # What the OpenTelemetry SDK reads of traces. One OTEL_SERVICE_NAME would be that of all services.
    *("OTEL_EXPORTER_*", "OTEL_TRACES_*", "OTEL_BSP_*", "OTEL_SPAN_*", "OTEL_ATTRIBUTE_*", "OTEL_RESOURCE_ATTRIBUTES"),
    "OTEL_SDK_DISABLED",
)
BUCKET = ("AWS_*",)
WAY_OUT = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR")

CONSOLE_READS = (
    *("AIF_DATA_DIR", "AIF_KAM_PORT", "AIF_NATS_SERVER", "AIF_NATS_URL", "AIF_NATS_USER*", "AIF_NATS_PASSWORD*"),
    *("AIF_POSTGRES_URL", "AIF_URL", "AIF_API_KEY", "AIF_ADMIN_KEY"),
)
"""What the commands themselves go by."""

WORKER = (
    "AIF_ACK_WAIT_SECONDS*",
    "AIF_API_CALL_COST*",
    "KV_OPERATION_COST*",
    "R2_OPERATION_COST*",
    "CPU_COST_PER_MS*",
    *BUCKET,
)

MODEL_WORKER = (
    *WORKER,
    # Nobody else gets the keys of AI providers.
    "OPENAI_API_KEY*",
    "ANTHROPIC_API_KEY*",
    "AIF_OPENAI_*",
    "AIF_ANTHROPIC_*",
    "AIF_FREE_MODELS*",
    "AIF_MODEL_QUALITY*",
    "AIF_MAX_FALLBACKS*",
    "AIF_RESPONSE_CACHE*",
    "AIF_PROVIDER_*",
    "AIF_SOURCE_BUDGET_*",
    *WAY_OUT,
)

SERVICES = (
    ServiceKind(
        name="orchestrator",
        arguments=("-m", "aif_orchestrator"),
        has_database=True,
        reads=("AIF_ORCHESTRATOR_*", "AI_DEFAULT_MONTHLY_BUDGET_USD*", "AI_BUDGET_POLICY*", *BUCKET),
    ),
    ServiceKind(
        name="granulator", arguments=("-m", "aif_granulator"), reads=("AIF_GRANULATOR_*", "AIF_OPTIMIZER_*", *MODEL_WORKER)
    ),
    ServiceKind(name="researcher", arguments=("-m", "aif_researcher"), reads=("AIF_RESEARCHER_*", *MODEL_WORKER)),
    ServiceKind(
        name="analyst",
        arguments=("-m", "aif_analyst"),
        reads=("AIF_ANALYST_*", "WHISPER_MODEL_DIR*", "DEEPGRAM_API_KEY*", "AIF_DEEPGRAM_*", *MODEL_WORKER),
    ),
    ServiceKind(name="planner", arguments=("-m", "aif_planner"), reads=("AIF_PLANNER_*", *MODEL_WORKER)),
    ServiceKind(name="classifier", arguments=("-m", "aif_classifier"), has_database=True, reads=("AIF_CLASSIFIER_*", *WORKER)),
    ServiceKind(name="kam", arguments=("-m", "aif_kam"), has_database=True, reads=("AIF_KAM_*", *BUCKET)),
)


class RestartPauses(Struct, frozen=True, kw_only=True):
    """How long a process that died is left alone before it is started again. The pause doubles each time."""

    first_seconds: float = 0.2
    longest_seconds: float = 15.0
    forgiven_after_seconds: float = 30.0
    """A process that lived so long starts again with the first pause."""


class FactoryPlan(Struct, frozen=True, kw_only=True):
    data_dir: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    """The operator's environment; each service gets its own part of it."""
    kam_port: int = DEFAULT_PORT
    """The next free port from here on is taken."""
    services: tuple[ServiceKind, ...] = SERVICES
    durable: bool = True
    """False where data may be lost with the machine's power, as in tests."""
    nats_url: str | None = None
    """A NATS server that is there already; None to run one."""
    postgres_url: str | None = None
    """An administrator's URL of a Postgres server that is there already; None to run one."""
    restart_pauses: RestartPauses = RestartPauses()
    slow_start_seconds: float = 30.0
    """A service that is not ready yet is told of each time so much has passed."""
    beyond_drain_seconds: float = 12.0
    """What a service may take after its drain time to cancel what is left and to close its connections."""


class DataFolder(Struct, frozen=True):
    """Where things lie in the data folder."""

    path: Path

    @property
    def keys(self) -> Path:
        """The factory's own secrets, 0600."""
        return self.path / "keys.json"

    @property
    def client_key(self) -> Path:
        """The first client's API key alone, 0600, for scripts."""
        return self.path / "client.key"

    @property
    def database_passwords(self) -> Path:
        return self.path / "database_passwords.json"

    @property
    def nats_url(self) -> Path:
        """The broker's address with the operator's user and password, 0600, for any NATS client."""
        return self.path / "nats.url"

    @property
    def running(self) -> Path:
        """Present while a factory runs."""
        return self.path / "factory.json"

    @property
    def blobs(self) -> Path:
        return self.path / "blobs"

    @property
    def deliverables(self) -> Path:
        return self.path / "deliverables"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def marks(self) -> Path:
        """Process ids and ready files of the services."""
        return self.path / "run"

    @property
    def nats(self) -> Path:
        return self.path / "nats"

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    def make(self) -> None:
        """Make what is missing. Raises OSError."""
        self.path.mkdir(parents=True, exist_ok=True)
        for closed in (self.blobs, self.logs, self.marks, self.deliverables):
            closed.mkdir(mode=0o700, exist_ok=True)


def data_folder(given: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> DataFolder:
    """The folder that was asked for, else AIF_DATA_DIR, else `var` here."""
    return DataFolder(Path(given or environ.get("AIF_DATA_DIR") or "var").resolve())


def readable_by(service: ServiceKind, settings: Mapping[str, str]) -> dict[str, str]:
    """The part of the operator's environment that is meant for one service."""
    patterns = (*EVERY_SERVICE_READS, *service.reads)
    return {name: value for name, value in settings.items() if _is_among(patterns, name)}


def read_by_nobody(settings: Mapping[str, str], services: Sequence[ServiceKind]) -> list[str]:
    """Variables with our prefix that reach no service and no command: misspelt, or not to be set here."""
    patterns = (*CONSOLE_READS, *EVERY_SERVICE_READS, *(pattern for service in services for pattern in service.reads))
    return [name for name in sorted(settings) if name.startswith(PREFIX) and not _is_among(patterns, name)]


def _is_among(patterns: Iterable[str], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
