"""The bill across executions: provider calls searched, and those without an answer settled."""
