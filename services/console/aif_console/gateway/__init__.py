"""The HTTP face of a factory, as the commands use it."""
