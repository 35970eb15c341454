"""Ten thousand provider calls with every fault mixed in, and the ledger held against the bill; a table, and exit code 1 for
any difference that the statement does not settle."""

import argparse
import asyncio
import sys
import time
from collections import Counter
from decimal import Decimal

from support.bank_statement import Trade, total_usd, trade
from support.ledger_book import differences, is_settled


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    began, cpu_began = time.monotonic(), time.process_time()
    traded = asyncio.run(trade(calls=asked.calls, seed=asked.seed))
    _say(f"seed {asked.seed}: {time.monotonic() - began:.1f} s, of them {time.process_time() - cpu_began:.1f} s CPU")
    return 0 if _told(traded) else 1


def _told(traded: Trade) -> bool:
    rows = traded.ledger.rows
    _table("calls by how they ended", Counter(str(row.outcome) for row in rows.values()))
    _table("calls by fault", traded.faults)
    _table("generations by how they ended", traded.ends)
    differing = {difference.call_key for difference in differences(traded.ledger, traded.bill)}
    lied = {key for key in traded.lied_about if is_settled(rows[key])}
    unsettled = traded.unsettled()
    beyond = [row.call_key for row in unsettled if _bound(row.upper_bound_usd) < _billed(traded, row.call_key)]
    _say(f"calls {len(rows)}, billed {len(traded.bill)}, billed twice {traded.billed_twice}, without a name {traded.unnamed}")
    _say(f"settled rows that differ from the bill: {len(differing)}; of calls whose answers lied: {len(lied)}")
    _say(f"unsettled rows: {len(unsettled)}, of them beyond their bound: {len(beyond)}")
    for key in [*(row.call_key for row in unsettled), *lied]:
        traded.ledger.settle(key, traded.bill.get(key))
    booked, billed = total_usd(traded)
    left = differences(traded.ledger, traded.bill)
    _say(f"after the statement: ledger {booked} USD, bill {billed} USD, rows that differ: {len(left)}")
    return differing == lied and not (beyond or left or traded.billed_twice or traded.unnamed) and booked == billed


def _bound(upper_bound_usd: str | None) -> Decimal:
    return Decimal(-1) if upper_bound_usd is None else Decimal(upper_bound_usd)


def _billed(traded: Trade, call_key: str) -> Decimal:
    return traded.bill[call_key].cost_usd if call_key in traded.bill else Decimal(0)


def _table(title: str, figures: Counter[str]) -> None:
    _say(f"{title}:")
    for name, count in figures.most_common():
        _say(f"  {count:>7}  {name}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
