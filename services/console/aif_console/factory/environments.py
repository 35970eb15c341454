"""The environment of each service: its own settings and nobody else's secrets."""

from msgspec import Struct

from aif_console.factory.keys import FactoryKeys
from aif_console.factory.plan import DataFolder, FactoryPlan, ServiceKind, readable_by

# Two arenas instead of eight per core: measured, a service of ours keeps a quarter less memory.
INTERPRETER = {"MALLOC_ARENA_MAX": "2", "PYTHONUTF8": "1"}

AUDIT_KEYS = "AIF_ORCHESTRATOR_AUDIT_KEYS"


class Reached(Struct, frozen=True, kw_only=True):
    """Where the servers are, once they run."""

    nats_url: str
    database_urls: dict[str, str]
    """By service; each with the service's own role."""
    kam_port: int


def environment_of(
    service: ServiceKind, plan: FactoryPlan, folder: DataFolder, keys: FactoryKeys, reached: Reached
) -> dict[str, str]:
    """Whole, but for what the process needs to find programs and to speak UTF-8."""
    ours = {
        "AIF_NATS_URL": reached.nats_url,
        "AIF_READY_FILE": str(folder.marks / f"{service.name}.ready"),
        **_nats_user(service, plan, keys),
    }
    if service.has_database:
        ours[f"AIF_{service.name.upper()}_DATABASE_URL"] = reached.database_urls[service.name]
    if service.name == "kam":
        ours["AIF_KAM_PORT"] = str(reached.kam_port)
        ours["AIF_KEY_PEPPER"] = keys.key_pepper
        ours["AIF_BOOTSTRAP_CLIENT_ID"] = keys.client_id
        ours["AIF_BOOTSTRAP_CLIENT_KEY"] = keys.client_key
        ours["AIF_BOOTSTRAP_ADMIN_KEY"] = keys.admin_key
    operators = readable_by(service, plan.settings)
    # A setting is refused when both it and its _FILE twin are there.
    theirs = {name: value for name, value in operators.items() if name.removesuffix("_FILE") not in ours}
    if service.name == "orchestrator" and not theirs.keys() & {AUDIT_KEYS, f"{AUDIT_KEYS}_FILE"}:
        ours[AUDIT_KEYS] = keys.audit_key
    if not theirs.keys() & {"AIF_BLOBS_URL", "AIF_BLOBS_URL_FILE"}:
        ours["AIF_BLOBS_URL"] = folder.blobs.as_uri()
    return {**INTERPRETER, **theirs, **ours}


def _nats_user(service: ServiceKind, plan: FactoryPlan, keys: FactoryKeys) -> dict[str, str]:
    if plan.nats_url is None:
        return {"AIF_NATS_USER": service.name, "AIF_NATS_PASSWORD": keys.nats_passwords[service.name]}
    # A broker of the operator's own knows one user for all services, if any.
    given = ("AIF_NATS_USER", "AIF_NATS_PASSWORD", "AIF_NATS_USER_FILE", "AIF_NATS_PASSWORD_FILE")
    return {name: plan.settings[name] for name in given if plan.settings.get(name)}
