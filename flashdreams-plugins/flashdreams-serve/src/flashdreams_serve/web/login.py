"""How a browser shows the token once and keeps a cookie instead."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qs

from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from flashdreams_serve.web.access import COOKIE, Access
from flashdreams_serve.web.pages import static_files
from flashdreams_serve.web.problems import problem
from flashdreams_serve.web.rates import Rates

LOGIN_PATH = "/login"
TRIES_PER_SECOND = 1.0

_STYLES = ("style.css", "login.css")
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="dark light">
<title>FlashDreams: token</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>Token, please</h1>
<p class="wrong" role="alert">{complaint}</p>
<p>{hint}</p>
<form method="post" action="/login">
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button type="submit" class="primary">Enter</button>
</form>
</main>
</body>
</html>
"""
_HINT = (
    "Whoever runs this server has it: it stands in the link that the server printed when it was started, "
    "or in the file or variable that gave it to the server."
)
_WRONG = "That is not the token of this server."


class Login:
    """Takes the token from a form or a link, and gives a cookie that was made from it."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._tries = Rates(TRIES_PER_SECOND)

    async def answer(self, request: Request) -> Response | None:
        """What to answer to a request that brings the token by form or link; None for any other.

        Raises:
            ProblemError: Somebody tries too often.
        """
        if request.url.path == LOGIN_PATH and request.method == "POST":
            given = parse_qs((await request.body()).decode(errors="replace")).get("token", [""])[0]
        elif request.url.path == "/" and request.method == "GET" and "token" in request.query_params:
            given = request.query_params["token"]
        else:
            return None
        self._check_tries(request)
        return self._enter(request) if self._access.is_token(given.strip()) else self._refused()

    def wants_page(self, connection: HTTPConnection) -> bool:
        """Whether somebody sits before a browser who can be asked for the token."""
        is_get = connection.scope["type"] == "http" and connection.scope["method"] == "GET"
        return is_get and "text/html" in connection.headers.get("accept", "")

    def page(self, status: int, complaint: str = "") -> Response:
        """The page that asks for the token, and says what was wrong with the last one."""
        text = _PAGE.format(style=_style(), complaint=complaint, hint=_HINT)
        return HTMLResponse(text, status, headers=_page_headers())

    def _refused(self) -> Response:
        if self._access.is_open:
            return RedirectResponse("/", 303)
        return self.page(401, _WRONG)

    def _enter(self, request: Request) -> Response:
        response = RedirectResponse("/", 303)
        response.set_cookie(
            COOKIE,
            self._access.cookie,
            httponly=True,
            samesite="lax",  # with strict, a link that somebody was sent would lead back to the form
            secure=request.url.scheme == "https",
        )
        return response

    def _check_tries(self, request: Request) -> None:
        client = request.client.host if request.client is not None else "unknown"
        if not self._tries.bucket(client).take():
            raise problem(
                429,
                "too_many_tries",
                "The token was tried too often.",
                f"It may be tried {TRIES_PER_SECOND:g} times a second.",
                "Wait a moment.",
                retry_after="2",
            )


def _style() -> str:
    """The look of the page, inline: its files are for those who have the token."""
    files = static_files("page")
    return "\n".join(files[name].data.decode() for name in _STYLES)


def _page_headers() -> dict[str, str]:
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; frame-ancestors 'none'"
    # A form of a page without any referrer is posted with the origin "null", which would be refused.
    return {
        "content-security-policy": policy,
        "referrer-policy": "same-origin",
        "www-authenticate": "Bearer",
    }
