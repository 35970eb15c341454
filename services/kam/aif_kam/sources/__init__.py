"""Reading source documents: bytes of a file in, plain text with a shape out. Pure, and run in a process of its own."""
