"""The addresses of the HTTP face, one file per thing."""
