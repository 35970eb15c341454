"""What the doctor says of a factory that runs and whose gateway does not answer."""

import io
import os
from pathlib import Path

from rich.console import Console

from aif_console.doctor import run_doctor
from aif_console.embedded.data_folder import FolderLock
from aif_console.factory.keys import ensure_keys
from aif_console.factory.plan import DataFolder
from aif_console.factory.running import RunningFactory, note_running


async def test_whoever_has_a_factory_that_does_not_answer_is_not_told_to_start_one(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.make()
    await ensure_keys(folder.keys)
    held = FolderLock(tmp_path, "factory")
    held.take()
    url = "http://127.0.0.1:9"
    note_running(folder.running, RunningFactory(pid=os.getpid(), kam_url=url, nats_url="nats://127.0.0.1:9"))
    page = io.StringIO()

    code = await run_doctor(folder, 8420, {}, Console(file=page, width=300))
    held.release()

    assert code == 1
    assert "BAD kam" in page.getvalue()
    (models,) = [line for line in page.getvalue().splitlines() if "models" in line]
    assert models == f"ok  models       not known: {url} does not serve: All connection attempts failed"
    assert "aif up" not in page.getvalue()
