"""What every broker takes and refuses, as NATS has it: subjects, patterns, sizes. The same for every adapter."""

MAX_PAYLOAD_BYTES = 1024 * 1024
"""What a broker takes by default. Larger content belongs into a blob."""


def takes(pattern: str, subject: str) -> bool:
    """True when `pattern`, with `*` for one token and a last `>` for one or more, takes the subject."""
    if pattern == subject:
        return True
    pattern_tokens = pattern.split(".")
    subject_tokens = subject.split(".")
    if pattern_tokens[-1] == ">":
        if len(subject_tokens) < len(pattern_tokens):
            return False
        pattern_tokens.pop()
    elif len(pattern_tokens) != len(subject_tokens):
        return False
    return all(part in ("*", token) for part, token in zip(pattern_tokens, subject_tokens, strict=False))


def check_sendable(subject: str, payload: bytes) -> None:
    """Raises ValueError for what no broker would take: a mistake of the sender's, not of the message's reader."""
    if not _is_sendable(subject):
        raise ValueError(
            f"subject {subject!r} cannot be sent to: use tokens without spaces, `*` or `>`, separated by single dots"
        )
    check_size(subject, payload)


def check_size(subject: str, payload: bytes) -> None:
    """Raises ValueError for a payload that no broker would take."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(
            f"payload to {subject} has {len(payload)} bytes, a message at most {MAX_PAYLOAD_BYTES}: store it as a blob "
            "and send the reference"
        )


def check_batch(max_messages: int) -> None:
    """Raises ValueError for a fetch of nothing."""
    if max_messages < 1:
        raise ValueError(f"max_messages is {max_messages}: fetch at least one message")


def _is_sendable(subject: str) -> bool:
    has_space = subject.split() != [subject]
    has_empty_token = ".." in f".{subject}."
    return not (has_space or has_empty_token or "*" in subject or ">" in subject or "\x00" in subject)
