"""The audit log: taken in, appended to, listed, verified."""
