"""A small HTTP server that answers as it was told, and commands of the terminal run against it in this process."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from msgspec import Struct, field

from aif_console.__main__ import main

COLUMNS = 100


class Asked(Struct, frozen=True, kw_only=True):
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Answer(Struct, frozen=True, kw_only=True):
    status: int = 200
    content: Any = None
    """Bytes as they are, anything else as JSON."""
    media_type: str = "application/json"


class GatewayStandIn(Struct, kw_only=True):
    url: str
    answers: dict[str, list[Answer | Callable[[Asked], Answer]]] = field(default_factory=dict)
    """By `METHOD /path`; the last one stays."""
    asked: list[Asked] = field(default_factory=list)

    def answers_with(self, call: str, *contents: Any, status: int = 200) -> None:
        self.answers[call] = [Answer(status=status, content=content) for content in contents]

    def refuses(self, call: str, status: int, detail: str, *errors: dict[str, str]) -> None:
        problem = {"title": "Not possible", "status": status, "detail": detail, "errors": list(errors)}
        self.answers[call] = [Answer(status=status, content=problem)]

    def streams(self, call: str, events: bytes) -> None:
        self.answers[call] = [Answer(content=events, media_type="text/event-stream")]

    def last(self, call: str) -> Asked:
        return [each for each in self.asked if f"{each.method} {each.path}" == call][-1]

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        waiting = self.answers.get(f"{asked.method} {asked.path}")
        if not waiting:
            return Answer(status=404, content={"title": "Not found", "detail": f"the stand-in knows no {asked.path}"})
        found = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return found if isinstance(found, Answer) else found(asked)


def stored_pipeline(name: str, version: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """One version of a pipeline, as `GET /api/kam/pipelines/{name}` answers."""
    view = {
        "name": name,
        "version": version,
        "owner": None,
        "title": name,
        "description": "",
        "digest": "d",
        "created_at": "2026-05-01T09:00:00.000Z",
        "offered": True,
        "stages": ["course"],
    }
    return {"pipeline": view, "document": {"parameters": parameters}}


class Said(Struct, frozen=True, kw_only=True):
    code: int
    out: str
    err: str


@contextmanager
def gateway_stand_in() -> Iterator[GatewayStandIn]:
    """Listens on a free port until the end of the block."""
    stand_in = GatewayStandIn(url="")

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            answer = stand_in.answer(
                Asked(
                    method=self.command,
                    path=parts.path,
                    query=dict(parse_qsl(parts.query)),
                    headers=dict(self.headers.items()),
                    body=self.rfile.read(int(self.headers.get("Content-Length", 0))),
                )
            )
            content = answer.content if isinstance(answer.content, bytes) else msgspec.json.encode(answer.content)
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.media_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            self.do_GET()

        def do_PUT(self) -> None:
            self.do_GET()

        def do_DELETE(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            """Tests look at `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Terminal:
    """Runs commands in this process, as from a pipe that is 100 columns wide, in UTC."""

    def __init__(self, gateway: GatewayStandIn, capsys: pytest.CaptureFixture[str]) -> None:
        self.gateway = gateway
        self._capsys = capsys

    def __call__(self, *words: str, **settings: str) -> Said:
        ours = {"AIF_URL": self.gateway.url, "AIF_API_KEY": "client-key", "AIF_ADMIN_KEY": "operator-key"}
        environ = {"PATH": os.environ.get("PATH", ""), "COLUMNS": str(COLUMNS), "TZ": "UTC", **ours, **settings}
        self._capsys.readouterr()
        try:
            with patch.dict(os.environ, environ, clear=True), patch.object(sys, "argv", ["aif", *words]):
                time.tzset()
                code = _code_of_main()
        finally:
            time.tzset()
        said = self._capsys.readouterr()
        return Said(code=code, out=said.out, err=said.err)


def _code_of_main() -> int:
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0
