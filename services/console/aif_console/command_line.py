"""The `aif` command, put together."""

import errno
import os
import sys
from typing import Any

import rich_click as click

from aif_console.commands import (
    accounts,
    batches,
    clients,
    configuration,
    executions,
    keys,
    ledger,
    machine,
    orders,
    pipelines,
    prices,
    schedules,
    spending,
    workers,
)
from aif_console.exit_codes import FAILED, INTERRUPTED

COMMANDS: tuple[click.Command, ...] = (
    machine.up,
    machine.doctor,
    orders.order,
    orders.watch,
    batches.batch,
    batches.batches,
    schedules.schedules,
    executions.list_all,
    executions.requests,
    executions.show,
    executions.pause,
    executions.resume,
    executions.approve,
    executions.reject,
    executions.cancel,
    executions.skip_compensation,
    prices.simulate,
    prices.prices,
    prices.reprice,
    pipelines.templates,
    pipelines.pipelines,
    spending.usage,
    spending.budget,
    clients.clients,
    accounts.account,
    keys.keys,
    workers.workers,
    workers.insights,
    workers.dead_letters,
    configuration.config,
    ledger.calls,
    ledger.audit,
    ledger.reconcile,
)


class _Interruptible(click.RichGroup):
    """A command that Ctrl-C ends before it has begun to work has the exit code of one that it ends later; one whose output goes
    to a full disk says so."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)

    def main(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().main(*args, **extra)
        except OSError as refused:
            if refused.errno != errno.ENOSPC:
                raise
            # What is left of the output would be tried again at the end of the process.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            click.echo("aif: there is no room for what was to be written: No space left on device", err=True)
            sys.exit(FAILED)


@click.group(
    cls=_Interruptible, commands=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
def aif() -> None:
    """AI Factory: run it on this machine, order from it, watch it work.

    Exit codes: 0 done, 1 the execution failed, 2 bad input or refused, 3 no factory answers,
    130 ended by Ctrl-C.
    """
