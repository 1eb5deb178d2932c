"""Every error that Rightmatch raises on purpose.

RightmatchError
├── ConfigError      a setting is missing, unknown or contradictory
├── ConflictError    somebody else changed what was to be changed, or the change is not legal from there; nothing was changed
├── DataError        rows or files break the data contract (a rerun without new data cannot help)
│   ├── LandingError     raw rows refused before landing
│   └── QualityError     a critical expectation failed
├── LogError         the decision log cannot be read or written; nothing of the transaction was kept
├── NotReadyError    something that an earlier step makes is not there yet
└── StepError        a tool that we run (dbt, Airflow) failed; carries that tool's own message

Messages say what happened, why it matters and what to do.
"""


class RightmatchError(Exception):
    """Base of all errors raised on purpose; the CLI prints its text without a traceback."""


class ConfigError(RightmatchError):
    """A setting is missing, unknown or contradictory."""


class ConflictError(RightmatchError):
    """Somebody else changed what was to be changed, or the change is not legal from there; nothing was changed."""


class DataError(RightmatchError):
    """Rows or files break the data contract; retrying without new data cannot help."""


class LandingError(DataError):
    """Raw rows were refused; nothing of the batch was landed."""


class QualityError(DataError):
    """A critical expectation failed; the day does not reach the feature store."""


class LogError(RightmatchError):
    """The decision log cannot be read or written; nothing of the transaction was kept."""


class NotReadyError(RightmatchError):
    """Something that an earlier step makes is not there yet."""


class StepError(RightmatchError):
    """A tool that we run failed; the text is that tool's own message."""
