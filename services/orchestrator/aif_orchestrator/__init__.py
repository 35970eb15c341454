"""The orchestrator: pipelines, executions, and what they used."""
