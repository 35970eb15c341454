"""The pure core: what an execution is and what follows from what happens to it. No clock, no I/O, no asyncio.

`machine.py` opens with the whole table of states.
"""
