"""What an analysis can fail with; each carries the HTTP status of the answer."""


class AnalysisError(Exception):
    """Its text is a sentence for the person who sent the request."""

    status = 500


class BadRequest(AnalysisError):
    """The request can't be understood."""

    status = 400


class UnknownDevice(AnalysisError):
    """There is no such device."""

    status = 404

    def __init__(self, device_id: str) -> None:
        super().__init__(f"There is no device {device_id}.")


class DatabaseAway(AnalysisError):
    """The database can't be reached, or took too long; the same request may succeed soon."""

    status = 503
