"""The pipeline language: what a pipeline is, how it is written down, checked and compiled. Pure: no I/O, no clock."""
