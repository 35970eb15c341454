"""`aif pipelines`: documents checked, stored, listed, shown."""

from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.text import Text

from aif_console.exit_codes import DONE, REFUSED
from aif_console.failures import BadInput, FactoryUnreachable, NoApiKey
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.ids import checked_name
from aif_console.gateway.pipelines import list_pipelines, read_pipeline, save_pipeline
from aif_console.gateway.reach import Reach
from aif_console.parameters import read_file
from aif_console.reading.json_output import print_json
from aif_console.reading.pipeline_yaml import yaml_of
from aif_console.reading.pipelines import owner_words, rendered_list, rendered_mistakes, rendered_pipeline
from aif_console.reading.plain_text import plain
from aif_contracts.pipelines import PipelineSaved
from aif_pipelines.failures import PipelineInvalid
from aif_pipelines.loading import load_pipeline
from aif_pipelines.mistakes import Mistake


class Checked(Struct, frozen=True, kw_only=True):
    """What `aif pipelines check` found."""

    is_sound: bool
    name: str | None = None
    version: str | None = None
    mistakes: tuple[Mistake, ...] = ()
    notes: tuple[str, ...] = ()


async def run_pipelines(name: str | None, reach: Reach, console: Console, *, limit: int, as_json: bool) -> int:
    """What is stored, by name, newest version first."""
    async with Gateway(reach.url, reach.key) as gateway:
        page = await list_pipelines(gateway, name=None if name is None else checked_name(name, "--name"), limit=limit)
    if as_json:
        print_json(console, page)
        return DONE
    if not page.pipelines:
        console.print("no pipeline is stored" if name is None else f"no pipeline is called {name}")
        return DONE
    console.print(rendered_list(page.pipelines), soft_wrap=True)
    if page.next_cursor is not None:
        console.print(Text("there are more: --limit shows up to 100, --name those of one name", style="dim"))
    return DONE


async def run_check(
    file: Path, reach: Reach | None, console: Console, *, is_named: bool, require_workers: bool, as_json: bool
) -> int:
    """Look for mistakes here and, where a factory answers, ask it whether it has the workers.

    Raises FactoryUnreachable only for a factory that somebody has named.
    """
    document = read_file(file, "FILE", "name a pipeline's document, YAML or JSON")
    checked = check_document(document)
    if checked.is_sound:
        checked = await _checked_by_factory(document, checked, reach, is_named=is_named, require_workers=require_workers)
    if as_json:
        print_json(console, checked)
    else:
        _print_checked(file, checked, console)
    return DONE if checked.is_sound else REFUSED


def check_document(document: bytes) -> Checked:
    """What can be said without a factory."""
    try:
        pipeline = load_pipeline(document)
    except PipelineInvalid as invalid:
        return Checked(is_sound=False, mistakes=invalid.mistakes)
    return Checked(is_sound=True, name=pipeline.name, version=pipeline.version)


async def run_save(
    file: Path, reach: Reach, console: Console, *, for_everybody: bool, require_workers: bool, as_json: bool
) -> int:
    """Store a document as a new version, of the key's client or of the factory."""
    document = read_file(file, "FILE", "name a pipeline's document, YAML or JSON")
    checked = check_document(document)
    if not checked.is_sound:
        if as_json:
            print_json(console, checked)
        else:
            _print_checked(file, checked, console)
        return REFUSED
    async with Gateway(reach.url, reach.key) as gateway:
        # The key decides whose it becomes, and a stored version never changes: so ask before.
        _meant_for(await save_pipeline(gateway, document, dry_run=True, require_workers=require_workers), for_everybody)
        saved = await save_pipeline(gateway, document, dry_run=False, require_workers=require_workers)
    if as_json:
        print_json(console, saved)
        return DONE
    was = "stored" if saved.is_new else "was stored before"
    _say(f"{saved.name} {saved.version} {was}, for {owner_words(saved.owner)}", console)
    for note in saved.notes:
        _say(f"note: {note}", console)
    _say(f"order it: aif order --pipeline {saved.name}", console)
    return DONE


async def run_show_pipeline(
    name: str, version: str | None, reach: Reach, console: Console, *, as_yaml: bool, as_json: bool
) -> int:
    """One of them, for reading or as a document again."""
    async with Gateway(reach.url, reach.key) as gateway:
        stored = await read_pipeline(gateway, checked_name(name), version)
    if as_json:
        print_json(console, stored)
    elif as_yaml:
        console.out(yaml_of(stored.document), end="", highlight=False)
    else:
        console.print(rendered_pipeline(stored))
    return DONE


def find_factory(reach: Callable[[], Reach], *, is_named: bool) -> Reach | None:
    """None when none runs here; one that somebody named has to be there."""
    try:
        return reach()
    except (FactoryUnreachable, NoApiKey):
        if is_named:
            raise
        return None


async def _checked_by_factory(
    document: bytes, checked: Checked, reach: Reach | None, *, is_named: bool, require_workers: bool
) -> Checked:
    if reach is not None:
        try:
            async with Gateway(reach.url, reach.key) as gateway:
                answer = await save_pipeline(gateway, document, dry_run=True, require_workers=require_workers)
            return msgspec.structs.replace(checked, notes=(*_standing(answer), *answer.notes))
        except FactoryUnreachable:
            if is_named:
                raise
    return msgspec.structs.replace(checked, notes=("no factory was asked: whether its workers offer the actions is not known",))


def _meant_for(answer: PipelineSaved, for_everybody: bool) -> None:
    if for_everybody and answer.owner is not None:
        raise BadInput(
            "--for-everybody", f"the key belongs to {answer.owner}", "use the operator's key, with --key or AIF_ADMIN_KEY"
        )
    if not for_everybody and answer.owner is None:
        raise BadInput(
            "--key", "the operator's key stores pipelines for everybody", "say --for-everybody, or use a client's key"
        )


def _standing(answer: PipelineSaved) -> tuple[str, ...]:
    return () if answer.is_new else ("this version is stored already, the same",)


def _print_checked(file: Path, checked: Checked, console: Console) -> None:
    if not checked.is_sound:
        console.print(rendered_mistakes(str(file), checked.mistakes), soft_wrap=True)
        return
    _say(f"{file}: {checked.name} {checked.version} is sound", console)
    for note in checked.notes:
        _say(f"note: {note}", console)


def _say(words: str, console: Console) -> None:
    console.print(Text(plain(words)), soft_wrap=True)
