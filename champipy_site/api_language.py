"""The language of what the API serves in one language only."""

import functools
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.utils import translation


def in_english(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Answer in English, whatever language the client accepts: the schema describes an English API.

    Its texts are those of serializers, some of which are also told to people in their language.
    """

    @functools.wraps(view)
    def english(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with translation.override("en"):
            response = view(request, *args, **kwargs)
            if isinstance(response, SimpleTemplateResponse):
                response = response.render()
        response.headers["Content-Language"] = "en"
        return response

    return english
