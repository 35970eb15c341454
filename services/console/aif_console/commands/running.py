"""How a command is run: the options that say which factory is meant, where its words go, and its exit code."""

import asyncio
import functools
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import rich_click as click
from msgspec import Struct

from aif_console.exit_codes import INTERRUPTED

if TYPE_CHECKING:
    from rich.console import Console

    from aif_console.gateway.reach import Reach
    from aif_console.orders import Output

DATA = click.option(
    "--data",
    type=click.Path(file_okay=False),
    help="Data folder of the factory on this machine; AIF_DATA_DIR, else var/ here.",
)
_URL = click.option("--url", metavar="URL", help="Address of the factory; AIF_URL, else the one that runs on this machine.")
_KEY = click.option("--key", metavar="KEY", help="API key; AIF_API_KEY, else the one in the data folder.")
_OPERATORS_KEY = click.option(
    "--key", metavar="KEY", help="The operator's API key; AIF_ADMIN_KEY, else the one in the data folder."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else on standard output.")

PARAMS = click.option(
    "--param", "params", metavar="NAME=VALUE", multiple=True, help="A parameter by the template's own name; may be repeated."
)
AT = click.option("--at", metavar="TIME", help="Start then: 2026-05-01T09:00, 09:00, or 2h for in two hours.")
MAX_COST = click.option(
    "--max-cost", metavar="USD", help="What an execution may spend at AI providers, such as 0.50; else the operator's limit."
)
VERSION = click.option("--version", help="Another version of the template than the newest.")
URGENCY = click.option(
    "--urgency", type=click.Choice(["low", "normal", "high", "critical"]), default="normal", show_default=True, help="How soon."
)


class Where(Struct, frozen=True, kw_only=True):
    """Which factory a command means, as far as the command line says."""

    url: str | None
    key: str | None
    data: str | None

    @property
    def names_a_factory(self) -> bool:
        """True when somebody said which one, so that its silence is a failure."""
        return bool(self.url or os.environ.get("AIF_URL"))

    def reach(self, *, as_operator: bool = False) -> "Reach":
        """Raises FactoryUnreachable, NoApiKey, CredentialsUnreadable."""
        from aif_console.factory.plan import data_folder
        from aif_console.gateway.reach import find_reach

        folder = data_folder(self.data, os.environ)
        return find_reach(url=self.url, key=self.key, folder=folder, environ=os.environ, as_operator=as_operator)


def asks_a_factory(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --json, --url, --key and --data; it takes them as `as_json` and `where`."""
    return _with_options(command, _KEY)


def asks_as_operator(command: Callable[..., None]) -> Callable[..., None]:
    """The same for what only the operator may do."""
    return _with_options(command, _OPERATORS_KEY)


def _with_options(command: Callable[..., None], key_option: Callable[[Any], Any]) -> Callable[..., None]:
    @functools.wraps(command)
    def called(*args: Any, url: str | None, key: str | None, data: str | None, **options: Any) -> None:
        command(*args, where=Where(url=url, key=key, data=data), **options)

    for option in (DATA, key_option, _URL, _JSON):
        called = option(called)
    return called


class ListsByDefault(click.RichGroup):
    """A group whose `list` is meant when no command is named."""

    meant = "list"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_help = args[:1] and args[0] in ctx.help_option_names
        names_none = not args or args[0].startswith("-")
        return super().parse_args(ctx, [self.meant, *args] if names_none and not is_help else args)


class ShowsByDefault(ListsByDefault):
    """A group whose `show` is meant when no command is named."""

    meant = "show"


def finish(command: Coroutine[None, None, int]) -> NoReturn:
    """Run it and end with its exit code; Ctrl-C has one of its own."""
    try:
        sys.exit(asyncio.run(command))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def on_stdout() -> "Console":
    from rich.console import Console

    return Console()


def output_of(as_json: bool, out: str | None) -> "Output":
    """The result goes to standard output; progress too, unless that is for JSON alone."""
    from rich.console import Console

    from aif_console.orders import Output
    from aif_runtime.clock import SystemClock

    console = Console()
    on_stderr = Console(stderr=True)
    progress = console if not as_json else on_stderr if on_stderr.is_terminal else None
    return Output(
        console=console, progress=progress, clock=SystemClock(), as_json=as_json, out=Path(out).absolute() if out else None
    )
