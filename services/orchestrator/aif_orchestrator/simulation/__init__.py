"""What an execution would cost and how long it would take, from what like ones have cost and taken."""
