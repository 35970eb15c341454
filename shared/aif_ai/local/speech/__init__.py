"""Speech to text on this machine, in a process of its own for each recording: decoders meet hostile bytes."""
