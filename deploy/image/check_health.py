"""Ask the service in this container for its health; exit code 1 when it is not ready, or not there."""

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

TIMEOUT_SECONDS = 2.0


def complaint(ready_file: Path) -> str | None:
    """Why the service is not healthy; None when it is."""
    try:
        port = int(json.loads(ready_file.read_bytes())["port"])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=TIMEOUT_SECONDS):
            return None
    except urllib.error.HTTPError as refusal:
        return f"/health answered {refusal.code}: {refusal.read(2000).decode(errors='replace')}"
    except FileNotFoundError:
        return f"{ready_file} does not exist: the service has not become ready yet"
    except (OSError, ValueError, KeyError, TypeError) as failure:
        return f"no answer from /health: {failure}"


if __name__ == "__main__":
    sys.exit(complaint(Path(os.environ["AIF_READY_FILE"])))
