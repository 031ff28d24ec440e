"""The one exception of the package."""


class GcodeError(Exception):
    """The file can't be analysed; the message is a sentence's rest that fits after the file's name."""
