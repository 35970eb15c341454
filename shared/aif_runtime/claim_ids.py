"""Names for claims. One whose answer was lost is repeated under its name, and the orchestrator gives the same attempt again."""

from aif_runtime.ids import NewId

MOST_REMEMBERED = 4096
"""Beyond it the oldest name is forgotten; its packet is then claimed like one that nobody here has seen."""


class ClaimIds:
    def __init__(self, new_id: NewId, *, most_remembered: int = MOST_REMEMBERED) -> None:
        self._new_id = new_id
        self._most_remembered = most_remembered
        self._by_packet: dict[str, str] = {}

    def of(self, packet_id: str) -> str:
        """The same for a packet until it is forgotten, over all its deliveries to this process."""
        known = self._by_packet.get(packet_id)
        if known is None:
            known = self._by_packet[packet_id] = self._new_id("claim")
            if len(self._by_packet) > self._most_remembered:
                del self._by_packet[next(iter(self._by_packet))]
        return known

    def forget(self, packet_id: str) -> None:
        """The claim was answered for good; another one for the packet asks for another attempt."""
        self._by_packet.pop(packet_id, None)
