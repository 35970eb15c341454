"""The words on the wire: everything that one process says to another.

Pure data and nothing else: msgspec structs, the subjects they travel on and the rules for money. Field names are snake_case
and never change meaning; a new field has a default, so an old reader can meet a new writer.
"""
