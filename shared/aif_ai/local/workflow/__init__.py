"""Steps out of a description in words, by rules: what its sentences tell to do, in their order."""
