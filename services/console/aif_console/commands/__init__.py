"""The command line: which commands there are and what they are given. What a command needs is imported when it runs."""
