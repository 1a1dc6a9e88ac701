"""Every exception that `howfar` raises on purpose.

Each message says what was got, what was needed and what to do next. All of them derive from `HowFarError`, which the
command line prints as one line before it exits with code 2; each is also a `ValueError` or a `RuntimeError`, so code
that does not know this module can still catch it.
"""

from __future__ import annotations

from howfar.foreign import harmless


class HowFarError(Exception):
    """Base of every error that a user can meet.

    Args:
        message: May hold strings that others wrote; it is put on one line and made harmless to a terminal.
    """

    def __init__(self, message: str) -> None:
        super().__init__(harmless(message))


class ConfigError(HowFarError, ValueError):
    """A configuration or recipe asks for something impossible or misspells a key."""


class StudyError(HowFarError, ValueError):
    """A study asks for something impossible, does not fit its folder, or has runs that failed."""


class UnsupportedModelError(HowFarError, ValueError):
    """The model has no rotary positions that increments could replace."""


class NoIncrementsError(HowFarError, ValueError):
    """The model has no increments, where increments are what was asked about."""


class AlreadyAttachedError(HowFarError, ValueError):
    """The model has increments already."""


class OverrideError(HowFarError, ValueError):
    """An override returned something that cannot stand for increments."""


class IdentityError(HowFarError, RuntimeError):
    """A model with fresh increments does not compute what it did without them."""


class ModelNotFoundError(HowFarError, ValueError):
    """No bundled model, folder or Hub repository of this name can be read."""


class CheckpointError(HowFarError, ValueError):
    """A checkpoint is truncated, pickled, or does not fit the model that it is loaded into."""


class TextError(HowFarError, ValueError):
    """A text is empty, is not valid UTF-8 or cannot be encoded."""


class TraceFileError(HowFarError, ValueError):
    """A saved trace is missing, damaged, or no trace."""


class CorpusError(HowFarError, ValueError):
    """A corpus or a source of documents is missing, damaged or too small."""


class SourceInterruptedError(CorpusError):
    """A remote source of documents stopped answering; what was read so far is kept to go on from."""


class NotMeasurableError(HowFarError, ValueError):
    """A measure has too little or the wrong data to give a number."""


class WorkersError(HowFarError, RuntimeError):
    """Processes that read in place of this one were lost, or cannot have its model."""


class MissingExtraError(HowFarError, ImportError):
    """An optional dependency is not installed."""


class OutputError(HowFarError, RuntimeError):
    """A file could not be written; what stood there before is untouched."""


class InUseError(OutputError):
    """Another process is writing the same folder."""


class BusyError(HowFarError, RuntimeError):
    """More people ask a shared model than it can answer soon."""
