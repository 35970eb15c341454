"""SQL for each aggregate. Stores take a connection, return structs and hold no rules."""
