"""What an analysis can fail with; each carries the HTTP status that the caller answers with."""


class AnalysisError(Exception):
    """A sentence for the person who asked."""

    status = 500


class BadRequest(AnalysisError):
    """The request can't be understood."""

    status = 400


class UnknownDevice(AnalysisError):
    """No such device."""

    status = 404


class DatabaseAway(AnalysisError):
    """The database can't be reached, or took too long; worth asking again soon."""

    status = 503
