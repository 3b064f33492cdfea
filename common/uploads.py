"""The size of a request."""

MAX_BODY_BYTES = 11_000_000
"""A photo of 10 MB and the form around it. A larger body is never kept (champipy_site/web/)."""
