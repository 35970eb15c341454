"""What the orchestrator is made of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aif_pipelines.library import builtin_pipelines
from aif_runtime.blobs import BlobStore
from aif_runtime.bus import Bus
from aif_runtime.migrations import load_migrations, migrate
from aif_runtime.postgres import Database
from aif_runtime.process import Assembled, Part, Surroundings
from aif_runtime.sql_files import load_queries
from aif_runtime.telemetry import Tracing
from prometheus_client import CollectorRegistry

from aif_orchestrator.admission import Admission
from aif_orchestrator.answers import Answers
from aif_orchestrator.engine.engine import Engine
from aif_orchestrator.engine.figures import Figures
from aif_orchestrator.engine.inputs import FollowUps
from aif_orchestrator.engine.plans import Plans
from aif_orchestrator.engine.relay import Relay
from aif_orchestrator.engine.sweeper import Sweeper
from aif_orchestrator.engine.workforce import Workforce
from aif_orchestrator.execution.happenings import Patience
from aif_orchestrator.intake import Intake
from aif_orchestrator.line import Line
from aif_orchestrator.settings import OrchestratorSettings
from aif_orchestrator.store.executions import ExecutionStore
from aif_orchestrator.store.outbox import OutboxStore
from aif_orchestrator.store.pipelines import PipelineStore

SERVICE = "orchestrator"
