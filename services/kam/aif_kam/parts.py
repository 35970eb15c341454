"""What the HTTP face is made of."""

from msgspec import Struct
from prometheus_client import CollectorRegistry

from aif_kam.accounts.client_book import ClientBook
from aif_kam.accounts.key_book import ApiKeyBook
from aif_kam.batches.desk import BatchDesk
from aif_kam.body_room import BodyRoom
from aif_kam.configuration.client_desk import ClientDesk
from aif_kam.configuration.system_desk import SystemDesk
from aif_kam.database_time import DatabaseTime
from aif_kam.event_stream import EventStream
from aif_kam.execution_history import HistoryReader
from aif_kam.identity import Identity
from aif_kam.orchestrator_client import OrchestratorClient
from aif_kam.order_desk import OrderDesk
from aif_kam.request_tracker import RequestTracker
from aif_kam.results import Results
from aif_kam.schedules.book import ScheduleBook
from aif_kam.source_intake import SourceIntake
from aif_kam.steering import Steering
from aif_kam.template_catalogue import TemplateCatalogue
from aif_kam.uploads import Uploads
from aif_runtime.health import Health
from aif_runtime.telemetry import Tracing


class Parts(Struct, frozen=True, kw_only=True):
    identity: Identity
    clients: ClientBook
    api_keys: ApiKeyBook
    desk: OrderDesk
    tracker: RequestTracker
    steering: Steering
    history: HistoryReader
    schedules: ScheduleBook
    batches: BatchDesk
    system_configuration: SystemDesk
    client_configuration: ClientDesk
    bodies: BodyRoom
    uploads: Uploads
    intake: SourceIntake
    catalogue: TemplateCatalogue
    orchestrator: OrchestratorClient
    events: EventStream
    results: Results
    time: DatabaseTime
    health: Health
    registry: CollectorRegistry
    tracing: Tracing
    version: str
