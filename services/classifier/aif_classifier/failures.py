"""What can go wrong in the classifier.

ClassifierFailure
└── RecordInvalid   a performance record that decodes, but says what cannot be
"""


class ClassifierFailure(Exception):
    """Root of this package's failures."""

    code = "classifier_failure"
    retryable = False


class RecordInvalid(ClassifierFailure):
    code = "record_invalid"

    def __init__(self, field: str, mistake: str) -> None:
        super().__init__(f"{field} {mistake}")
        self.field = field
