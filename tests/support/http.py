"""A small HTTP client: every answer is returned, also an error, and nothing is retried."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, lower-cased headers and body of an HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The decoded JSON body. Raises ValueError with what came instead."""
        try:
            return json.loads(self.body)
        except json.JSONDecodeError:
            raise ValueError(f"expected JSON, but got status {self.status}: {self.text[:300]}") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def call(
    method: str,
    url: str,
    body: object = None,
    *,
    headers: Mapping[str, str] | None = None,
    user: tuple[str, str] | None = None,
    timeout: float = 15,
) -> Answer:
    """One request; `body` is sent as JSON unless it is bytes. `user` is (name, password) for HTTP Basic.

    Raises OSError when nobody answers.
    """
    sent = dict(headers or {})
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    if data is not body:
        sent.setdefault("Content-Type", "application/json")
    if user is not None:
        sent["Authorization"] = "Basic " + base64.b64encode(":".join(user).encode()).decode()
    request = urllib.request.Request(url, data=data, headers=sent, method=method)
    try:
        with _opener.open(request, timeout=timeout) as response:
            return Answer(response.status, _lowered(response.headers), response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, _lowered(error.headers), error.read())


def _lowered(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
