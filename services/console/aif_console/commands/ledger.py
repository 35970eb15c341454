"""What concerns money and proof: `aif calls`, `aif audit`, `aif reconcile`."""

import os
import re
from pathlib import Path

import rich_click as click

from aif_console.commands.running import ListsByDefault, Where, asks_as_operator, finish, on_stdout
from aif_console.failures import BadInput

_MONEY = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")


@click.group(name="audit", cls=ListsByDefault)
def audit() -> None:
    """The audit log: who has done what, and whether it is as it was written. For the operator."""


@audit.command(name="list")
@click.option("--action", help="Only entries of this kind, such as CALL_SETTLED.")
@click.option("--severity", type=click.Choice(["info", "warning", "critical"]))
@click.option("--client", "client_id", metavar="CLIENT", help="Only what concerns this client.")
@click.option("--execution", "execution_id", metavar="ID", help="Only what concerns this execution.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="How many, newest first.")
@asks_as_operator
def list_audit(
    action: str | None,
    severity: str | None,
    client_id: str | None,
    execution_id: str | None,
    limit: int,
    as_json: bool,
    where: Where,
) -> None:
    """List entries, newest first."""
    from aif_console.audit import run_list_audit

    finish(
        run_list_audit(
            where.reach(as_operator=True),
            on_stdout(),
            action=action,
            severity=severity,
            client_id=client_id,
            execution_id=execution_id,
            limit=limit,
            as_json=as_json,
        )
    )


@audit.command()
@click.option("--head", metavar="ROW:HASH", help="What an earlier run has printed: the log has to reach it unchanged.")
@asks_as_operator
def verify(head: str | None, as_json: bool, where: Where) -> None:
    """Follow the whole chain. Exit code 1 names the first row that is not as it was written."""
    from aif_console.audit import run_verify_audit

    finish(run_verify_audit(where.reach(as_operator=True), on_stdout(), head=head, as_json=as_json))


@click.group(name="calls", cls=ListsByDefault)
def calls() -> None:
    """Calls to AI providers across executions, and those whose cost nobody knows. For the operator."""


@calls.command(name="list")
@click.option("--in-doubt", is_flag=True, help="Only those without an answer that nobody has settled.")
@click.option("--provider", help="Only those to this provider.")
@click.option("--model", help="Only those to this model.")
@click.option("--client", "client_id", metavar="CLIENT", help="Only those for this client.")
@click.option("--since", metavar="TIME", help="Only those from then on, such as 2026-05-01 or 2h.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many, oldest first.")
@asks_as_operator
def list_calls(
    in_doubt: bool,
    provider: str | None,
    model: str | None,
    client_id: str | None,
    since: str | None,
    limit: int,
    as_json: bool,
    where: Where,
) -> None:
    """List calls, oldest first."""
    from aif_console.calls import run_list_calls
    from aif_console.moments import past_moment
    from aif_runtime.clock import SystemClock

    finish(
        run_list_calls(
            where.reach(as_operator=True),
            on_stdout(),
            in_doubt=in_doubt,
            provider=provider,
            model=model,
            client_id=client_id,
            booked_from=past_moment(since, "--since", SystemClock().now()),
            limit=limit,
            as_json=as_json,
        )
    )


@calls.command(name="settle")
@click.argument("call_key", metavar="CALL")
@click.option("--cost", metavar="USD", help="What the provider has billed for it.")
@click.option("--not-billed", is_flag=True, help="The provider has not billed it.")
@click.option("--note", required=True, help="By what you know.")
@asks_as_operator
def settle(call_key: str, cost: str | None, not_billed: bool, note: str, as_json: bool, where: Where) -> None:
    """Say what a call without an answer has cost."""
    from aif_console.calls import run_settle_call

    if (cost is None) != not_billed:
        raise BadInput("--cost", "say one of two things", "give --cost with what was billed, or --not-billed")
    if cost is not None and _MONEY.fullmatch(cost) is None:
        raise BadInput("--cost", f"{cost!r} is no amount", "write US dollars as 0.0125")
    finish(run_settle_call(call_key, where.reach(as_operator=True), on_stdout(), cost_usd=cost, note=note, as_json=as_json))


@click.command()
@click.argument("provider", type=click.Choice(["openai", "anthropic"]))
@click.option("--from", "first", metavar="DAY", help="First day in UTC, as 2026-11-01; else yesterday.")
@click.option("--to", "last", metavar="DAY", help="Last day in UTC; else yesterday.")
@click.option(
    "--statement",
    type=click.Path(exists=True, dir_okay=False),
    help="A usage export of the provider, or a list of requests, as CSV or JSON; else the provider is asked.",
)
@click.option("--provider-url", metavar="URL", help="Where the provider is asked, if not at its usual address.")
@click.option(
    "--tolerance", type=click.IntRange(min=0), default=0, show_default=True, help="So many tokens may differ, all together."
)
@click.option("--settle", is_flag=True, help="Take over what the statement says of calls without an answer.")
@asks_as_operator
def reconcile(
    provider: str,
    first: str | None,
    last: str | None,
    statement: str | None,
    provider_url: str | None,
    tolerance: int,
    settle: bool,
    as_json: bool,
    where: Where,
) -> None:
    """Compare the ledger with what a provider has billed.

    The provider is asked with OPENAI_ADMIN_KEY or ANTHROPIC_ADMIN_KEY. Exit codes: 0 nothing differs, 1 something does, 2 there
    is nothing to compare with.
    """
    from aif_console.reconcile import Wishes, period_of, run_reconcile
    from aif_runtime.clock import SystemClock

    now = SystemClock().now()
    wishes = Wishes(
        now=now,
        provider=provider,
        period=period_of(first, last, now.date()),
        statement=None if statement is None else Path(statement),
        provider_url=provider_url,
        tolerance_tokens=tolerance,
        settle=settle,
        as_json=as_json,
    )
    finish(run_reconcile(wishes, where.reach(as_operator=True), on_stdout(), os.environ))
