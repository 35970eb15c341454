"""Names for claims. One whose answer was lost is repeated under its name, and the orchestrator gives the same attempt again.

A name is lent to one delivery at a time: two deliveries of a packet in one process, both under the same name, would both be
given the same attempt, and it would be worked on and paid for twice.
"""

from aif_runtime.ids import NewId

MOST_REMEMBERED = 4096
"""Beyond it the oldest name is forgotten; its packet is then claimed like one that nobody here has seen."""


class ClaimIds:
    def __init__(self, new_id: NewId, *, most_remembered: int = MOST_REMEMBERED) -> None:
        self._new_id = new_id
        self._most_remembered = most_remembered
        self._by_packet: dict[str, str] = {}

    def lend(self, packet_id: str) -> str:
        """The name under which the packet was claimed without an answer, if nobody has it now; else a new one."""
        return self._by_packet.pop(packet_id, None) or self._new_id("claim")

    def give_back(self, packet_id: str, claim_id: str) -> None:
        """The claim was not answered for good: the packet's next delivery to this process repeats it."""
        self._by_packet[packet_id] = claim_id
        if len(self._by_packet) > self._most_remembered:
            del self._by_packet[next(iter(self._by_packet))]
