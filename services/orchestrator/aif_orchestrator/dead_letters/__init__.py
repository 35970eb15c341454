"""Messages that nobody could process: read from their stream, kept in a table, shown, sent again."""
