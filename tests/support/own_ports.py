"""Ports that no other process of a test run draws.

A port is free when it is drawn and taken when the server is up, which is seconds later; and it is free again while a server is
down that a test has killed. Processes that draw from one range meet there now and then.
"""

import os
import random

from aif_console.embedded import ports

PROCESSES = 8
"""Of more, some share."""
SERVER_PORTS = range(15_000, 27_000)
GATEWAY_PORTS = range(27_000, 30_000)


def keep_to_own_ports() -> None:
    """Embedded servers of this process draw from its own share from now on."""
    own = _share_of(SERVER_PORTS)
    ports.FIRST_PORT, ports.LAST_PORT = own[0], own[-1]


def gateway_port() -> int:
    """Where a gateway of this process looks for its port first."""
    return random.SystemRandom().choice(_share_of(GATEWAY_PORTS))


def _share_of(every: range) -> range:
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PROCESSES
    size = len(every) // PROCESSES
    return every[number * size : (number + 1) * size]
