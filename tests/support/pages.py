"""Pages of verifiers, as a browser without scripts and as htmx ask for them."""

from django.test import Client

from accounts.models import User

HTMX = {"HX-Request": "true"}
"""Headers of a request by htmx, which gets a piece of a page."""


def browser_of(user: User) -> Client:
    """Return a client in which a user is logged in, and whose forms need their CSRF token."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(user, backend="accounts.backends.PasswordBackend")
    client.cookies["csrftoken"] = TOKEN
    return client


TOKEN = "t" * 32


def submit(client: Client, path: str, fields: dict | None = None, **headers: str):
    """Send a form as a page does, with its CSRF token."""
    return client.post(path, {"csrfmiddlewaretoken": TOKEN, **(fields or {})}, headers=headers)
