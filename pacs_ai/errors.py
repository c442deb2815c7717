"""What we foresee going wrong, as a small tree; each message says what is wrong and what to do."""

from datetime import timedelta

LONGEST_REST = timedelta(hours=1)  # that a node can ask for


class PacsAiError(Exception):
    """The root: the command line prints it and ends with `exit_code`."""

    exit_code = 1


class SettingsError(PacsAiError):
    """Settings that cannot be used; one line for each problem."""

    exit_code = 2


class NotFound(PacsAiError):
    """What was asked for is not there."""

    exit_code = 3


class NotInThatState(NotFound):
    """What was asked for is there, and in no state to be done with as asked."""


class PeerUnreachable(PacsAiError):
    """A node that could not be reached or took nothing; `retry_after` is how long it asks to be left alone.

    At most LONGEST_REST.
    """

    exit_code = 4

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PeerRefused(PeerUnreachable):
    """A remote AE that rejected the association permanently, or accepted nothing of what was proposed."""


class ModelError(PacsAiError):
    """A model file or card that is missing, damaged or not the one it claims to be."""


class UndecodablePixels(PacsAiError):
    """Pixel data that cannot be turned into an image."""


class LimitExceeded(PacsAiError):
    """An instance larger than this service will open, or one that takes too long or too much memory to decode."""


class DecoderUnavailable(PacsAiError):
    """No decoder process can be started; nothing is wrong with the instance, and it can be read later."""


class NotDicom(PacsAiError):
    """Bytes that are not a DICOM data set."""


class DefectiveReport(PacsAiError):
    """Reports that our own profile does not allow; one line for each defect."""


class TamperedLog(PacsAiError):
    """An audit log that is not as it was written; the message names the first event that is not."""


class WrongUsage(PacsAiError):
    """Options that do not go together, or ask for what the settings do not allow."""

    exit_code = 2
