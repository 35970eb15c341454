"""What can go wrong in this package.

    PipelineFailure
    ├── PipelineInvalid       a definition that cannot be accepted; carries every mistake found
    ├── LanguageInvalid       a text that is not of the language
    │   ├── PathInvalid
    │   ├── ExpressionInvalid
    │   └── TemplateInvalid
    └── ResolutionFailed      a sound text that has no value for these values
        ├── ExpressionFailed
        └── TemplateFailed

None is retryable: the same text and the same values fail again.
"""

from collections.abc import Sequence
from typing import ClassVar

from aif_pipelines.mistakes import Mistake


class PipelineFailure(Exception):
    code: ClassVar[str]
    retryable: ClassVar[bool] = False


class PipelineInvalid(PipelineFailure):
    code = "pipeline_invalid"

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


class LanguageInvalid(PipelineFailure):
    """A text that is not of the language. Lines and columns count from 1, inside the text itself."""

    def __init__(self, message: str, *, mend: str, line: int = 1, column: int = 1) -> None:
        self.message = message
        self.mend = mend
        self.line = line
        self.column = column
        super().__init__(f"line {line}, column {column}: {message}. {mend}")

    def mistake(self, path: str) -> Mistake:
        """The same as a mistake of the document that holds the text at `path`."""
        where = f"at column {self.column}" if self.line == 1 else f"at line {self.line}, column {self.column}"
        return Mistake(path=path, message=f"{self.message} ({where} of the text)", mend=self.mend)


class PathInvalid(LanguageInvalid):
    code = "path_invalid"


class ExpressionInvalid(LanguageInvalid):
    code = "expression_invalid"


class TemplateInvalid(LanguageInvalid):
    code = "template_invalid"

    def __init__(self, message: str, *, mend: str, column: int = 1, at: str = "") -> None:
        super().__init__(message, mend=mend, column=column)
        self.at = at
        """Where in the template's value the text stands, as in `.items[2]`."""

    def mistake(self, path: str) -> Mistake:
        return super().mistake(path + self.at)


class ResolutionFailed(PipelineFailure):
    def __init__(self, message: str, *, mend: str) -> None:
        self.message = message
        self.mend = mend
        super().__init__(f"{message}. {mend}")


class ExpressionFailed(ResolutionFailed):
    code = "expression_failed"


class TemplateFailed(ResolutionFailed):
    code = "template_failed"
