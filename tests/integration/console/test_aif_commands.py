"""The `aif` command as its users run it: a whole factory in the background, commands beside it, exit codes."""

import asyncio
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import nats
import pytest
from msgspec import Struct

from aif_console.factory.plan import SERVICES
from support.kernel_view import is_alive
from support.own_ports import gateway_port
from support.waiting import eventually

REPOSITORY = Path(__file__).parents[3]
SAMPLE = REPOSITORY / "samples" / "sourdough.html"
START_SECONDS = 300
END_SECONDS = 300


class Running(Struct, frozen=True, kw_only=True):
    process: "subprocess.Popen[str]"
    data_dir: Path
    said: str
    """Up to the last line of the greeting."""

    @property
    def url(self) -> str:
        return next(line.split()[1] for line in self.said.splitlines() if line.split()[:1] == ["Factory"])

    @property
    def service_pids(self) -> list[int]:
        return [int((self.data_dir / "run" / f"{service.name}.pid").read_text()) for service in SERVICES]


def environ(**settings: str) -> dict[str, str]:
    ours = ("AIF_", "OPENAI", "ANTHROPIC")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | settings


@contextmanager
def running_up(data_dir: Path, *options: str, **settings: str) -> Iterator[Running]:
    port = gateway_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "aif_console", "up", "--data", str(data_dir), "--port", str(port), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environ(**settings),
    )
    assert process.stdout is not None
    said = ""
    try:
        for line in process.stdout:
            said += line
            if line.split()[:1] == ["Stop"]:
                break
        else:
            raise AssertionError(f"it never became ready:\n{said}")
        yield Running(process=process, data_dir=data_dir, said=said)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=END_SECONDS)


def aif(*words: str, data_dir: Path | None = None, **settings: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "aif_console", *words]
    if data_dir is not None:
        command += ["--data", str(data_dir)]
    return subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, check=False, env=environ(**settings))


def hear_ctrl_c() -> None:
    """As from a terminal: what a shell without job control starts in the background inherits that it ignores Ctrl-C, and so
    does what the tests start in turn."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def until_it_says(words: str, process: "subprocess.Popen[str]") -> str:
    """The line of its output that has the words."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if words in line:
            return line
    _, complaints = process.communicate(timeout=END_SECONDS)
    raise AssertionError(f"it ended with {process.returncode} and never said {words!r}: {''.join(said)}{complaints}")


def processes_over(data_dir: Path) -> list[int]:
    """Whose command line names the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and is_alive(int(entry.name)):
            try:
                if os.fsencode(data_dir) in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, servers_dir: Path) -> Iterator[Running]:
    with running_up(servers_dir / "factory") as running:
        yield running


def test_it_says_where_things_are(up: Running) -> None:
    health = httpx.get(f"{up.url}/health", trust_env=False)
    api = next(line.split()[1] for line in up.said.splitlines() if line.split()[:1] == ["API"])

    assert "<h1>" in httpx.get(api, trust_env=False).text
    assert health.json()["status"] == "ok"
    assert "local extractive provider, no key needed" in up.said
    assert f"aif order course --source samples/beekeeping.md --watch --data {up.data_dir}" in up.said
    assert str(up.data_dir / "logs") in up.said
    assert "orders: aif.request.submit.local" in up.said
    assert up.data_dir.joinpath("nats.url").read_text().startswith("nats://operator:")


def test_the_line_for_curl_works_as_it_is_printed(up: Running) -> None:
    command = next(line.strip().removeprefix("or").strip() for line in up.said.splitlines() if "curl" in line)

    answer = subprocess.run(["/bin/sh", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, check=True)

    assert json.loads(answer.stdout)["title"] == "Keeping bees: a first year"


def test_the_order_over_nats_in_the_readme_works_as_it_is_written(up: Running, tmp_path: Path) -> None:
    readme = (REPOSITORY / "services" / "console" / "README.md").read_text()
    program = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert program is not None
    (tmp_path / "var").symlink_to(up.data_dir)
    (tmp_path / "samples").symlink_to(REPOSITORY / "samples")

    subprocess.run([sys.executable, "-c", program.group(1)], cwd=tmp_path, check=True)

    deadline = time.monotonic() + END_SECONDS
    while not (found := re.search(r"(req_\w+) .* content_granulation_quiz", aif("requests", data_dir=up.data_dir).stdout)):
        assert time.monotonic() < deadline, "the order never arrived"
    watched = aif("watch", found.group(1), "--json", data_dir=up.data_dir)
    assert len(json.loads(watched.stdout)["structure"]["questions"]) == 3


def order_over_nats(document: Path, data_dir: Path) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, *map(str, (REPOSITORY / "samples" / "order_over_nats.py", document, data_dir))]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)


def test_the_sample_over_nats_hears_the_end_of_its_order(up: Running, tmp_path: Path) -> None:
    (tmp_path / "bees.md").write_text("# Bees\n\nBees make honey. A hive is the home of bees.")

    ordered = order_over_nats(tmp_path / "bees.md", up.data_dir)

    assert (ordered.returncode, ordered.stderr) == (0, "")
    assert "WORKFLOW_COMPLETED" in ordered.stdout


def until_it_is_known(worker_name: str, up: Running) -> None:
    deadline = time.monotonic() + END_SECONDS
    while worker_name not in aif("workers", data_dir=up.data_dir).stdout:
        assert time.monotonic() < deadline, f"{worker_name} is not known to the factory"


def test_the_sample_of_a_worker_that_imports_nothing_of_ours_does_the_stage_of_its_pipeline(up: Running) -> None:
    program = [sys.executable, str(REPOSITORY / "samples" / "worker_over_nats.py"), str(up.data_dir)]
    long_text = "word " * 2_000
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as worker:
        try:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "word_counter works\n"
            until_it_is_known("word_counter", up)
            saved = aif("pipelines", "save", str(REPOSITORY / "samples" / "counted_words.yaml"), data_dir=up.data_dir)
            short = aif(
                "order", "--pipeline", "counted_words", "--param", "text=How many words?", "--json", data_dir=up.data_dir
            )
            long = aif("order", "--pipeline", "counted_words", "--param", f"text={long_text}", "--json", data_dir=up.data_dir)
            live = aif("workers", data_dir=up.data_dir)
        finally:
            worker.terminate()

    assert (saved.returncode, saved.stderr) == (0, "")
    assert json.loads(short.stdout)["structure"] == {"words": 3}
    assert json.loads(long.stdout)["structure"] == {"words": 2_000}
    assert re.search(r"^word_counter .* count$", live.stdout, re.MULTILINE)


def test_the_sample_of_a_worker_puts_a_packet_that_lacks_something_aside_and_goes_on(up: Running) -> None:
    async def publish(packet: bytes) -> None:
        connection = await nats.connect((up.data_dir / "nats.url").read_text().strip())
        await connection.jetstream().publish("aif.work.word_counter.critical", packet)
        await connection.close()

    def waits() -> bool:
        return "it has no action" in aif("dead-letters", "list", "--status", "waiting", data_dir=up.data_dir).stdout

    program = [sys.executable, str(REPOSITORY / "samples" / "worker_over_nats.py"), str(up.data_dir)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as worker:
        try:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "word_counter works\n"
            asyncio.run(publish(b'{"attempt": 1, "grant": null, "execution_id": "exec_1"}'))
            asyncio.run(eventually(waits))
            has_ended = worker.poll() is not None
        finally:
            worker.terminate()
    dismissed = aif("dead-letters", "dismiss", "--all", "--origin", "work", data_dir=up.data_dir)

    assert not has_ended
    assert (dismissed.returncode, dismissed.stderr) == (0, "")


def test_the_sample_over_nats_hears_that_its_order_was_refused_and_the_operator_has_a_dead_letter(
    up: Running, tmp_path: Path
) -> None:
    (tmp_path / "nothing.md").write_text("  ")

    ordered = order_over_nats(tmp_path / "nothing.md", up.data_dir)
    listed = aif("dead-letters", "list", "--status", "waiting", data_dir=up.data_dir)
    dismissed = aif("dead-letters", "dismiss", "--all", "--origin", "requests", data_dir=up.data_dir)

    assert (ordered.returncode, ordered.stderr) == (1, "")
    assert "refused: source_empty" in ordered.stdout
    assert "source_empty" in listed.stdout
    assert (dismissed.returncode, dismissed.stderr) == (0, "")
    assert aif("dead-letters", "list", "--status", "waiting", data_dir=up.data_dir).stdout == "no dead letter is waiting\n"


def test_a_course_is_ordered_shown_and_saved(up: Running, tmp_path: Path) -> None:
    out = tmp_path / "course.json"

    ordered = aif("order", "course", "--source", str(SAMPLE), "--level", "2", "--out", str(out), data_dir=up.data_dir)

    assert ordered.returncode == 0, ordered.stderr
    assert "workflow completed" in ordered.stdout
    assert "Sourdough bread: from flour and water to a loaf" in ordered.stdout
    assert "Made by    local_extractive" in ordered.stdout
    assert f"Saved      {out}" in ordered.stdout
    assert json.loads(out.read_text())["granularity_level"] == 2
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_json_is_all_that_is_printed_on_request(up: Running) -> None:
    ordered = aif("order", "quiz", "--source", str(SAMPLE), "--questions", "2", "--json", data_dir=up.data_dir)

    result = json.loads(ordered.stdout)
    saved = up.data_dir / "deliverables" / f"quiz-{result['request']['request_id']}.json"
    assert ordered.returncode == 0, ordered.stderr
    assert len(result["structure"]["questions"]) == 2
    assert result["execution"]["status"] == "completed"
    assert json.loads(saved.read_text()) == result["structure"]


def test_an_order_may_be_left_alone_and_watched_later_by_either_id(up: Running) -> None:
    ordered = json.loads(aif("order", "quiz", "--source", str(SAMPLE), "--no-watch", "--json", data_dir=up.data_dir).stdout)

    for some_id in (ordered["request_id"], ordered["execution_id"]):
        watched = aif("watch", some_id, data_dir=up.data_dir)
        assert watched.returncode == 0, watched.stderr
        assert "workflow completed" in watched.stdout
        assert "Sourdough bread" in watched.stdout


def test_requests_and_executions_are_listed_and_shown(up: Running) -> None:
    ordered = json.loads(aif("order", "quiz", "--source", str(SAMPLE), "--json", data_dir=up.data_dir).stdout)["request"]
    request_id, execution_id = ordered["request_id"], ordered["execution"]["execution_id"]

    requests = aif("requests", "--limit", "1", data_dir=up.data_dir)
    listed = aif("list", "--status", "completed", "--since", "1h", "--limit", "1", data_dir=up.data_dir)
    shown = aif("show", request_id, data_dir=up.data_dir)

    assert request_id in requests.stdout
    assert "quiz from sourdough.html" in requests.stdout
    assert execution_id in listed.stdout
    assert "completed, 100 %" in shown.stdout
    assert "by content_granulator structure_quiz" in " ".join(shown.stdout.split())


OWN_PIPELINE = """\
name: own_lesson
version: "1.0.0"
parameters: {type: object, properties: {source: {type: object}, level: {type: integer}}, required: [source]}
stages:
  - id: course
    worker: content_granulator
    action: structure_course
    input: {source: "{{params.source}}", granularityLevel: "{{params.level}}", targetAudience: all, validationEnabled: true}
    rules:
      - {condition: course.element_count > 1, action: approve, message: Look at the course.}
  - {id: film, worker: film_maker, action: make_film, input: "{{course}}"}
output: [{name: course, stage: course}]
"""


def until_listed(status: str, up: Running, template: str = "own_lesson") -> str:
    """The one execution of the pipeline, once it has the status."""
    deadline = time.monotonic() + END_SECONDS
    while True:
        listed = aif("list", "--template", template, "--status", status, data_dir=up.data_dir)
        if found := re.search(r"exec_\w+", listed.stdout):
            return found.group()
        assert time.monotonic() < deadline, f"it was never {status}"


def test_an_own_pipeline_is_saved_ordered_approved_cancelled_and_resumed(up: Running, tmp_path: Path) -> None:
    document = tmp_path / "lesson.yaml"
    document.write_text(OWN_PIPELINE)

    refused = aif("pipelines", "check", str(document), data_dir=up.data_dir)
    saved = aif("pipelines", "save", "--without-workers", str(document), data_dir=up.data_dir)
    assert refused.returncode == 2
    assert "film_maker" in refused.stderr
    assert "own_lesson 1.0.0 stored, for local" in saved.stdout, saved.stderr

    order = ("order", "--pipeline", "own_lesson", "--source", str(SAMPLE), "--param", "level=2", "--no-watch")
    ordered = aif(*order, data_dir=up.data_dir)
    assert ordered.returncode == 0, ordered.stderr
    execution_id = until_listed("awaiting_approval", up)
    assert f"aif approve {execution_id} --stage course" in aif("show", execution_id, data_dir=up.data_dir).stdout

    approved = aif("approve", execution_id, "--comment", "fine", data_dir=up.data_dir)
    paused = aif("pause", execution_id, data_dir=up.data_dir)
    resumed = aif("resume", execution_id, data_dir=up.data_dir)
    assert "is approved; " in approved.stdout, approved.stderr
    assert "is paused" in paused.stdout, paused.stderr
    assert "is running" in resumed.stdout, resumed.stderr

    cancelled = aif("cancel", execution_id, data_dir=up.data_dir)
    until_listed("cancelled", up)
    again = aif("resume", execution_id, data_dir=up.data_dir)
    assert cancelled.returncode == 0, cancelled.stderr
    assert re.match(r"kept 1 stage: \$0.00, 0 tokens, [0-9.]+ s not paid for again\n", again.stdout), again.stderr

    events = aif("show", execution_id, "--events", data_dir=up.data_dir).stdout
    attempts = " ".join(aif("show", execution_id, "--attempts", data_dir=up.data_dir).stdout.split())
    assert "approval decided  course  approved by" in events
    assert "workflow resumed  leg 2, kept 1 stage" in events
    assert "course 1 completed by content_granulator structure_course" in attempts
    assert "grant local providers only" in attempts
    assert aif("cancel", execution_id, data_dir=up.data_dir).returncode == 0


def test_the_sample_pipeline_runs_as_its_head_says(up: Running) -> None:
    document = SAMPLE.with_name("reviewed_course.yaml")

    checked = aif("pipelines", "check", str(document), data_dir=up.data_dir)
    saved = aif("pipelines", "save", str(document), data_dir=up.data_dir)
    assert (checked.returncode, saved.returncode) == (0, 0), checked.stderr + saved.stderr
    source = SAMPLE.with_name("beekeeping.md")
    order = ("order", "--pipeline", "reviewed_course", "--source", str(source), "--no-watch")
    assert aif(*order, data_dir=up.data_dir).returncode == 0
    execution_id = until_listed("awaiting_approval", up, "reviewed_course")
    approved = aif("approve", execution_id, data_dir=up.data_dir)

    assert approved.returncode == 0, approved.stderr
    assert until_listed("completed", up, "reviewed_course") == execution_id
    shown = aif("show", execution_id, data_dir=up.data_dir).stdout
    assert "smaller" in shown
    assert "quiz" in shown


def test_a_batch_of_documents_is_ordered_from_csv(up: Running, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(f"source,questionCount\n{SAMPLE},2\n{SAMPLE},3\n")

    ordered = aif("batch", "content_granulation_quiz", str(tmp_path / "in.csv"), data_dir=up.data_dir)

    assert ordered.returncode == 0, ordered.stderr
    assert "2 of 2 ended, 100 %, $0.00: 2 completed\n" in ordered.stdout
    assert "2 of 2" in aif("batches", data_dir=up.data_dir).stdout


def test_an_order_that_repeats_is_kept_until_it_is_removed(up: Running) -> None:
    add = ("schedules", "add", "weekly", "content_granulation_quiz", "--cron", "0 6 * * 1", "--source", str(SAMPLE))

    added = aif(*add, data_dir=up.data_dir)
    found = re.match(r"(sched_\w+) \(weekly\) is active, next at ", added.stdout)
    assert found is not None, added.stderr
    removed = aif("schedules", "remove", found.group(1), data_dir=up.data_dir)

    assert removed.returncode == 0, removed.stderr
    assert aif("schedules", data_dir=up.data_dir).stdout == "there is no schedule\n"


def test_the_operator_of_this_machine_sees_workers(up: Running) -> None:
    assert "structure_course" in aif("workers", data_dir=up.data_dir).stdout


def test_templates_and_insights_are_shown(up: Running) -> None:
    aif("order", "quiz", "--source", str(SAMPLE), data_dir=up.data_dir)

    templates = aif("templates", data_dir=up.data_dir)
    insights = aif("insights", "content_granulator", "--period", "24h", data_dir=up.data_dir)

    assert "content_granulation_course 1.0.0" in templates.stdout
    assert "questionCount" in templates.stdout
    assert insights.returncode == 0, insights.stderr
    assert "content_granulator, last 24h" in insights.stdout


def test_the_doctor_finds_everything_well(up: Running) -> None:
    looked = aif("doctor", data_dir=up.data_dir)

    assert looked.returncode == 0, looked.stdout
    assert "BAD" not in looked.stdout
    for service in SERVICES:
        assert service.name in looked.stdout


def test_the_doctor_tells_the_models_of_the_factory_and_not_those_of_its_own_environment(up: Running, tmp_path: Path) -> None:
    of_the_factory = aif("doctor", data_dir=up.data_dir, OPENAI_API_KEY="x")
    of_the_next_start = aif("doctor", data_dir=tmp_path, OPENAI_API_KEY="x")

    assert "models       local extractive provider" in of_the_factory.stdout
    assert "models       OpenAI" in of_the_next_start.stdout


def test_a_terminal_of_few_characters_is_no_reason_to_fail(up: Running) -> None:
    looked = aif("order", "--help", data_dir=up.data_dir, PYTHONIOENCODING="ascii")
    ordered = aif("order", "quiz", "--source", str(SAMPLE), data_dir=up.data_dir, PYTHONIOENCODING="ascii")

    assert (looked.returncode, looked.stderr) == (0, "")
    assert (ordered.returncode, ordered.stderr) == (0, "")


def test_all_processes_together_need_less_than_700_mib(up: Running) -> None:
    aif("order", "course", "--source", str(SAMPLE), data_dir=up.data_dir)

    line = next(line for line in aif("doctor", data_dir=up.data_dir).stdout.splitlines() if "MiB" in line)

    assert int(line.split()[2]) < 700


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("order", "course"), "--source FILE"),
        (("order", "course", "--source", "nowhere.md"), "nowhere.md cannot be read"),
        (("order", "course", "--topic", "Bees"), "OPENAI_API_KEY"),
        (("order", "course", "--source", str(SAMPLE), "--level", "9"), "granularityLevel must be a whole number from 1 to 5"),
        (("order", "course", "--source", str(SAMPLE), "--questions", "5"), "questionCount"),
        (("order", "course", "--source", sys.executable), "source"),
        (("order", "film"), "film"),
        (("watch", "nonsense"), "req_"),
        (("show", "exec_nobody"), "exec_nobody"),
        (("insights", "--period", "ever"), "7d"),
        (("list", "--key", "wrong"), "key"),
    ],
)
def test_bad_input_ends_with_code_2_and_says_what_is_wrong(up: Running, words: tuple[str, ...], complaint: str) -> None:
    refused = aif(*words, data_dir=up.data_dir)

    assert refused.returncode == 2
    assert complaint in refused.stderr
    assert "Traceback" not in refused.stderr


def test_what_has_ended_cannot_be_cancelled(up: Running) -> None:
    request_id = json.loads(aif("order", "quiz", "--source", str(SAMPLE), "--json", data_dir=up.data_dir).stdout)["request"][
        "request_id"
    ]

    cancelled = aif("cancel", request_id, data_dir=up.data_dir)

    assert cancelled.returncode == 2
    assert "completed" in cancelled.stderr


def test_without_a_factory_the_code_is_3_and_aif_up_is_named(tmp_path: Path) -> None:
    for words, settings in ((("list",), {}), (("list", "--key", "k"), {"AIF_URL": "http://127.0.0.1:9"})):
        missed = aif(*words, data_dir=tmp_path, **settings)

        assert missed.returncode == 3
        assert "aif up" in missed.stderr


def test_a_second_factory_over_the_same_folder_is_refused_with_the_pid_of_the_first(up: Running) -> None:
    second = aif("up", data_dir=up.data_dir)

    assert second.returncode == 1
    assert f"(process {up.process.pid})" in second.stderr


def test_wrong_settings_are_told_all_at_once(tmp_path: Path) -> None:
    refused = aif("up", data_dir=tmp_path / "data", AIF_LOG_LEVEL="loud", AIF_DRAIN_SECONDS="long")

    assert refused.returncode == 2
    assert "AIF_LOG_LEVEL" in refused.stderr
    assert "AIF_DRAIN_SECONDS" in refused.stderr


def test_ctrl_c_while_watching_leaves_the_order_alone(up: Running) -> None:
    granulator = int((up.data_dir / "run" / "granulator.pid").read_text())
    os.kill(granulator, signal.SIGSTOP)
    watching = subprocess.Popen(
        [sys.executable, "-m", "aif_console", "order", "quiz", "--source", str(SAMPLE), "--data", str(up.data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ(),
        preexec_fn=hear_ctrl_c,
    )
    try:
        until_it_says("workflow started", watching)
        watching.send_signal(signal.SIGINT)
        last_words, complaints = watching.communicate(timeout=END_SECONDS)
    finally:
        os.kill(granulator, signal.SIGCONT)
        if watching.returncode is None:
            watching.kill()
            watching.communicate()

    come_back = re.search(r"aif watch (req_\w+)", last_words)
    assert watching.returncode == 130
    assert complaints == ""
    assert come_back is not None
    assert aif("watch", come_back.group(1), data_dir=up.data_dir).returncode == 0


def test_a_factory_that_is_ended_while_it_starts_leaves_nothing_behind(servers_dir: Path) -> None:
    data_dir = servers_dir / "hasty"
    starting = subprocess.Popen(
        [sys.executable, "-m", "aif_console", "up", "--data", str(data_dir)], stdout=subprocess.PIPE, text=True, env=environ()
    )
    until_it_says("starting the factory", starting)

    starting.send_signal(signal.SIGTERM)
    last_words, _ = starting.communicate(timeout=END_SECONDS)

    assert starting.returncode == 0
    assert "stopped before it was ready" in last_words
    assert processes_over(data_dir) == []


def test_ctrl_c_ends_everything_and_the_next_start_continues(servers_dir: Path) -> None:
    data_dir = servers_dir / "continued"
    # Nobody waits so long for a service that does not end by itself.
    with running_up(data_dir, AIF_DRAIN_SECONDS="3600") as first:
        ordered = json.loads(aif("order", "quiz", "--source", str(SAMPLE), "--json", data_dir=data_dir).stdout)
        pids = first.service_pids
        first.process.send_signal(signal.SIGINT)
        last_words, _ = first.process.communicate(timeout=END_SECONDS)
        code = first.process.returncode
    assert code == 0
    assert "stopped. The data stays in" in last_words
    assert not any(is_alive(pid) for pid in pids)

    with running_up(data_dir, "--verbose"):
        again = aif("watch", ordered["request"]["request_id"], "--json", data_dir=data_dir)

    assert json.loads(again.stdout)["structure"] == ordered["structure"]


def test_a_second_ctrl_c_does_not_wait(servers_dir: Path) -> None:
    with running_up(servers_dir / "impatient") as running:
        pids = running.service_pids
        os.kill(pids[0], signal.SIGSTOP)  # it will not drain

        running.process.send_signal(signal.SIGINT)
        stopping = until_it_says("stopping", running.process)
        running.process.send_signal(signal.SIGINT)
        last_words, _ = running.process.communicate(timeout=END_SECONDS)
        code = running.process.returncode

    assert "Ctrl-C again kills" in stopping
    assert "killed; what was in work is taken up again" in last_words
    assert code == 130
    assert not any(is_alive(pid) for pid in pids)
