"""What can go wrong with the audit log.

AuditHeadMissing    somebody has removed the note of where the log ends
"""


class AuditHeadMissing(Exception):
    """Nothing is appended any more: beginning anew would hide what was done. A verification names it."""

    code = "audit_head_missing"
    retryable = False

    def __init__(self) -> None:
        super().__init__(
            "the table audit_head has lost its row, so nothing can be appended to the audit log: find out who did that, then "
            "put sequence and hash of the last row of audit_log into it"
        )
