"""The one exception of the package."""


class GcodeError(Exception):
    """The file can't be analysed. The message continues a sentence that begins with the file's name."""
