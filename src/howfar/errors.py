"""Every exception that `howfar` raises on purpose.

Each message says what was given, what was needed and what to do next. All errors derive from `HowFarError`, which the
command line prints as one line before it exits with code 2. Each is also a built-in error, so code that does not know
this module can catch it.
"""

from __future__ import annotations

from howfar.foreign import harmless


class HowFarError(Exception):
    """Base of every error that a user can meet.

    Args:
        message: May contain foreign strings; it is put on one line, and control characters are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__(harmless(message))


class ConfigError(HowFarError, ValueError):
    """A configuration or recipe has an impossible value or a misspelt key."""


class StudyError(HowFarError, ValueError):
    """A study has an impossible value, does not fit its folder, or has failed runs."""


class UnsupportedModelError(HowFarError, ValueError):
    """The model, or this way of calling it, does not work with learned positions."""


class NoIncrementsError(HowFarError, ValueError):
    """The model has no increments, but the question is about increments."""


class AlreadyAttachedError(HowFarError, ValueError):
    """The model already has increments."""


class OverrideError(HowFarError, ValueError):
    """An override returned something that cannot replace increments."""


class IdentityError(HowFarError, RuntimeError):
    """A model with new increments does not give the same output as without them."""


class ModelNotFoundError(HowFarError, ValueError):
    """No bundled model, folder or Hub repository of this name can be read."""


class CheckpointError(HowFarError, ValueError):
    """A checkpoint is truncated, pickled, or does not fit the model that it is loaded into."""


class TextError(HowFarError, ValueError):
    """A text is empty, is not valid UTF-8 or cannot be encoded."""


class TraceFileError(HowFarError, ValueError):
    """A saved trace is missing or damaged, or the file is not a trace."""


class CorpusError(HowFarError, ValueError):
    """A corpus or a source of documents is missing, damaged or too small."""


class SourceInterruptedError(CorpusError):
    """A remote source of documents stopped answering; the documents read so far are kept, so the build can continue."""


class NotMeasurableError(HowFarError, ValueError):
    """A measure has too little data, or data that it cannot use."""


class WorkersError(HowFarError, RuntimeError):
    """Worker processes were lost, or cannot load the model."""


class MissingExtraError(HowFarError, ImportError):
    """An optional dependency is not installed."""


class OutputError(HowFarError, RuntimeError):
    """A file could not be written; an existing file is unchanged."""


class InUseError(OutputError):
    """Another process is writing the same folder."""


class BusyError(HowFarError, RuntimeError):
    """A shared model has too many waiting requests."""
