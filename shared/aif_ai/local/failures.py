"""What can go wrong with local providers beyond what can with every provider.

AiFailure
└── AudioUnreadable  the bytes are no audio that can be decoded, or more of it than is taken
"""

from aif_ai.failures import AiFailure


class AudioUnreadable(AiFailure):
    code = "invalid_audio"
