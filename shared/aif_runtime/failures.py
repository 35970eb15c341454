"""What can go wrong between a process and its surroundings.

RuntimeFailure
├── BusUnavailable        the broker did not answer; what was published may or may not be stored
├── NoAnswer              nobody answered a question in time
├── BlobMissing           a reference names bytes that are not there
├── BlobCorrupt           the bytes are not those that the reference names
├── BlobStoreUnavailable
│   └── BlobStoreRefuses  it answers, and does not let us
├── DatabaseUnavailable
│   ├── TooManyRead       it answers, and those who only read ask more of it than they may
│   └── TooManyWait       it answers, and more are in front than it can answer in time
├── AlreadyStored         a row that may be there only once is there already
├── SettingsInvalid       every mistake in the environment at once
├── MalformedMessage      bytes that are no message of ours
├── SqlFileInvalid        a file of named queries breaks its rules: a bug, found at start
└── MigrationRefused      a schema and the migrations of the program do not fit
"""


class RuntimeFailure(Exception):
    """Root of this package's failures. `retryable` says whether the same call may succeed later."""

    code = "runtime_failure"
    retryable = False


class BusUnavailable(RuntimeFailure):
    """The broker did not confirm. A publish may have been stored all the same: send it again under the same message id."""

    code = "bus_unavailable"
    retryable = True


class NoAnswer(RuntimeFailure):
    """Nobody answered a question within its time, or nobody listens on its subject."""

    code = "no_answer"
    retryable = True


class BlobMissing(RuntimeFailure):
    code = "blob_missing"

    def __init__(self, storage_key: str) -> None:
        super().__init__(
            f"no bytes are stored under {storage_key}; if they were just written, "
            "their writer's AIF_BLOBS_URL names another store"
        )
        self.storage_key = storage_key


class BlobCorrupt(RuntimeFailure):
    code = "blob_corrupt"

    def __init__(self, storage_key: str, difference: str) -> None:
        super().__init__(f"the bytes under {storage_key} are not those of its reference: {difference}")
        self.storage_key = storage_key


class BlobStoreUnavailable(RuntimeFailure):
    code = "blob_store_unavailable"
    retryable = True


class BlobStoreRefuses(BlobStoreUnavailable):
    """It answers, and does not let us: its operator has to look. Tried again all the same, for that may be done any moment."""

    code = "blob_store_refuses"


class DatabaseUnavailable(RuntimeFailure):
    code = "database_unavailable"
    retryable = True


class TooManyRead(DatabaseUnavailable):
    """Whoever changes something is answered as ever."""

    code = "too_many_readers"


class TooManyWait(DatabaseUnavailable):
    """Those in front are answered, one after the other."""


class AlreadyStored(RuntimeFailure):
    """A row that a unique constraint allows only once is there already; the whole statement stored nothing."""

    code = "already_stored"


class SettingsInvalid(RuntimeFailure):
    code = "settings_invalid"

    def __init__(self, mistakes: tuple[str, ...]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class MalformedMessage(RuntimeFailure):
    """Bytes that do not decode to the message expected; the text says where, for example `at $.type`."""

    code = "malformed_message"


class SqlFileInvalid(RuntimeFailure):
    """A `.sql` file of named queries breaks its rules. It is part of the program: this is a bug."""

    code = "sql_file_invalid"


class MigrationRefused(RuntimeFailure):
    """The migrations of the program and those applied to the schema do not fit. The message says what to do."""

    code = "migration_refused"
