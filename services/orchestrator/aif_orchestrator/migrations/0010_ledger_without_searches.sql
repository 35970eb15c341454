-- Each execution that may cost something adds entries, and no program searches them. Whoever has to show how a window came about
-- reads the table through.
DROP INDEX ledger_entries_by_window;
DROP INDEX ledger_entries_by_execution;
