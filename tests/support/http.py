"""A small HTTP client: every answer is returned, also an error, and nothing is retried in secret."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from dataclasses import dataclass


@dataclass
class Answer:
    """Status, lower-cased headers and body of an HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def json(self):
        """The decoded JSON body. Raises ValueError naming what came instead."""
        try:
            return json.loads(self.body)
        except json.JSONDecodeError:
            raise ValueError(f"expected JSON, but got status {self.status}: {self.text[:300]}") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args, **kwargs):
        return None


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def call(
    method: str,
    url: str,
    body=None,
    *,
    headers: dict | None = None,
    user: tuple[str, str] | None = None,
    timeout: float = 15,
) -> Answer:
    """One request; `body` is sent as JSON unless it is bytes. `user` is (name, password) for HTTP Basic. Raises OSError when nobody answers."""
    headers = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
    if user is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(":".join(user).encode()).decode()
    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    try:
        with _opener.open(request, timeout=timeout) as response:
            return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())
