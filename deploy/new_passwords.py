"""Print a fresh password for every NATS user and every Postgres role that docker-compose.yml asks for, and a key for the seals
of the audit log, as lines for `.env`.

`umask 077; python deploy/new_passwords.py >> .env`
"""

import re
import secrets
import sys
from pathlib import Path

COMPOSE_FILE = Path(__file__).parents[1] / "docker-compose.yml"


def lines(compose_text: str) -> list[str]:
    """One `NAME=password` for each required variable that ends in _PASSWORD or in _AUDIT_KEYS."""
    names = sorted(set(re.findall(r"\$\{(\w+_(?:PASSWORD|AUDIT_KEYS)):\?\}", compose_text)))
    # The letter in front keeps nats-server from reading a number; hexadecimal needs no escaping in a Postgres URL.
    return [f"{name}=p{secrets.token_hex(24)}" for name in names]


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines(COMPOSE_FILE.read_text())) + "\n")
