"""The way back to Mushroom Observer: users' API keys, and what they write there by a click."""

from typing import Any, cast

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import mixins, status, viewsets
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.idempotency import IDEMPOTENCY_KEY, create_once
from accounts.api.throttling import MushroomObserverThrottle
from accounts.models import User
from common.api import error_response
from common.messages import Text
from common.paging import CursorPages
from common.prefer import PREFER, wait_preferred
from observations.api.mushroom_observer_forms import (
    NO_KEY,
    CommentRequest,
    DraftSerializer,
    KeyRequest,
    KeySerializer,
    NamingRequest,
    VoteRequest,
    WriteRequest,
    WriteSerializer,
)
from observations.api.views import ObservationNotFound
from observations.comment_drafts import comment_draft, marked
from observations.key_services import (
    mushroom_observer_key_delete,
    mushroom_observer_key_store,
    mushroom_observer_key_wait,
)
from observations.models import MushroomObserverKey, MushroomObserverWrite, Observation
from observations.mushroom_observer.transport import ApiKey, site_retry_after_s
from observations.selectors import observations_visible_to
from observations.write_errors import WRITE_FAILURES, NotWritten
from observations.write_selectors import seen_of, writes_visible_to
from observations.write_services import write_create, write_wait
from predictions.api.waiting import waiting_places

State = MushroomObserverWrite.State


class WriteFailed(APIException):
    """Nothing was written at Mushroom Observer."""

    def __init__(self, code: str, detail: Text) -> None:
        self.status_code = WRITE_FAILURES[code].status
        if code == "mushroom_observer_unavailable":
            self.wait = site_retry_after_s()  # becomes the header Retry-After
        super().__init__(detail, code)


class KeyRefused(APIException):
    """Mushroom Observer does not know the key, which is not kept."""

    status_code = 422
    default_code = "mushroom_observer_key_refused"


class NothingToSay(APIException):
    """There is nothing to comment on: the photos are not answered, or all failed."""

    status_code = 409
    default_code = "observation_not_done"
    default_detail = _("The observation has no answer, so there is nothing to comment with.")


def _write_errors() -> dict[int, Any]:
    codes: dict[int, list[str]] = {}
    for code, failure in WRITE_FAILURES.items():
        codes.setdefault(failure.status, []).append(code)
    codes[409].append("observation_not_done")
    codes[422].append("idempotency_key_reused")
    codes[503].append("database_unavailable")
    return {number: error_response(names) for number, names in codes.items()}


class KeyView(APIView):
    def get_throttles(self) -> list:
        is_put = self.request is not None and self.request.method == "PUT"
        return [MushroomObserverThrottle()] if is_put else []

    @extend_schema(
        operation_id="getMushroomObserverKey",
        summary="Tell whether you have stored an API key of Mushroom Observer",
        responses=KeySerializer,
    )
    def get(self, request: Request) -> Response:
        user = cast(User, request.user)
        return self._answer(MushroomObserverKey.objects.filter(user=user).first())

    @extend_schema(
        operation_id="storeMushroomObserverKey",
        summary="Store your API key of Mushroom Observer, in place of an earlier one",
        description="It is encrypted and never told again. A worker asks the site whose key it "
        "is; one that the site refuses is not kept. Where the site cannot be asked, it is kept as "
        "`unchecked`.",
        parameters=[PREFER],
        request=KeyRequest,
        responses={
            200: KeySerializer,
            202: OpenApiResponse(KeySerializer, description="It is still being checked."),
            422: error_response(["mushroom_observer_key_refused"]),
        },
    )
    def put(self, request: Request) -> Response:
        serializer = KeyRequest(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = cast(User, request.user)
        key = ApiKey(serializer.validated_data["key"])
        stored = mushroom_observer_key_store(user=user, key=key)
        if wait_s := wait_preferred(request.headers.get("Prefer", "")):
            with waiting_places.taken_by(user.pk) as may_wait:
                if may_wait:
                    mushroom_observer_key_wait(stored=stored, timeout_s=wait_s)
        if stored.status == MushroomObserverKey.Status.REFUSED:
            raise KeyRefused(stored.detail)
        if stored.status == MushroomObserverKey.Status.CHECKING:
            headers = {"Location": reverse("mushroom-observer-key"), "Retry-After": "1"}
            return self._answer(stored, status=status.HTTP_202_ACCEPTED, headers=headers)
        return self._answer(stored)

    @extend_schema(
        operation_id="deleteMushroomObserverKey",
        summary="Delete your API key of Mushroom Observer",
        responses={204: OpenApiResponse(description="No key of yours is stored.")},
    )
    def delete(self, request: Request) -> Response:
        mushroom_observer_key_delete(user=cast(User, request.user))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _answer(self, stored: MushroomObserverKey | None, **options: Any) -> Response:
        return Response(KeySerializer(stored).data if stored else NO_KEY, **options)


@extend_schema_view(
    list=extend_schema(
        operation_id="listMushroomObserverWrites",
        summary="List what you wrote at Mushroom Observer (administrators: everybody), newest "
        "first",
    ),
    retrieve=extend_schema(
        operation_id="getMushroomObserverWrite",
        summary="Return something that you wrote at Mushroom Observer, and what became of it",
    ),
)
class WriteViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    serializer_class = WriteSerializer
    lookup_value_regex = "[0-9]{1,18}"
    queryset = MushroomObserverWrite.objects.none()
    pagination_class = CursorPages

    def get_queryset(self) -> QuerySet[MushroomObserverWrite]:
        return writes_visible_to(cast(User, self.request.user)).select_related("user")


class WriteView(APIView):
    """Writes one kind of thing on an observation."""

    kind: str
    form: type[WriteRequest]

    def get_throttles(self) -> list:
        is_post = self.request is not None and self.request.method == "POST"
        return [MushroomObserverThrottle()] if is_post else []

    def observation(self, number: str) -> Observation:
        visible = observations_visible_to(cast(User, self.request.user))
        observation = visible.filter(pk=number).first()
        if observation is None:
            raise ObservationNotFound
        return observation

    def content(self, said: dict[str, Any], observation: Observation) -> dict[str, Any]:
        """Return what is sent, of what the request says."""
        return said

    def write(self, request: Request, number: str) -> Response:
        """Record what the request says, wait until it is sent, and answer with its row."""
        observation, user = self.observation(number), cast(User, request.user)
        form = self.form(data=request.data, context={"observation": observation})
        form.is_valid(raise_exception=True)
        said: dict[str, Any] = form.validated_data
        seen = said.pop("seen")
        content = self.content(said, observation)
        try:
            [write] = create_once(
                request,
                create=lambda: [
                    write_create(
                        user=user,
                        observation=observation,
                        kind=self.kind,
                        content=content,
                        seen=seen,
                    )
                ],
                rows=MushroomObserverWrite.objects.all(),
            )
        except NotWritten as refused:
            raise WriteFailed(refused.code, refused.detail) from refused
        if wait_s := wait_preferred(request.headers.get("Prefer", "")):
            with waiting_places.taken_by(user.pk) as may_wait:
                if may_wait:
                    write_wait(write=write, timeout_s=wait_s)
        if write.state == State.FAILED:
            raise WriteFailed(write.error_code, write.error_detail)
        body = WriteSerializer(write).data
        if write.state == State.SENT:
            return Response(body)
        location = reverse("mushroom-observer-write-detail", args=[write.pk])
        retry_s = "30" if write.state == State.UNKNOWN else "1"
        headers = {"Location": location, "Retry-After": retry_s}
        return Response(body, status=status.HTTP_202_ACCEPTED, headers=headers)


def _documented(operation_id: str, summary: str, form: type[WriteRequest]) -> Any:
    return extend_schema(
        operation_id=operation_id,
        summary=summary,
        description="With your own API key. It is sent once, and only if the observation is as "
        "`seen` says.",
        parameters=[PREFER, IDEMPOTENCY_KEY],
        request=form,
        responses={
            200: WriteSerializer,
            202: OpenApiResponse(
                WriteSerializer, description="Not sent yet, or unknown. Ask again at `Location`."
            ),
            **_write_errors(),
        },
    )


class VoteView(WriteView):
    kind, form = MushroomObserverWrite.Kind.VOTE, VoteRequest

    @_documented("voteAtMushroomObserver", "Vote on a proposed name", VoteRequest)
    def post(self, request: Request, id: str) -> Response:
        return self.write(request, id)


class NamingView(WriteView):
    kind, form = MushroomObserverWrite.Kind.NAMING, NamingRequest

    @_documented("proposeAtMushroomObserver", "Propose a name, with a vote on it", NamingRequest)
    def post(self, request: Request, id: str) -> Response:
        return self.write(request, id)


class CommentView(WriteView):
    kind, form = MushroomObserverWrite.Kind.COMMENT, CommentRequest

    @extend_schema(
        operation_id="draftMushroomObserverComment",
        summary="Return a draft of a comment that tells what the photos show",
        responses={
            200: DraftSerializer,
            404: error_response(["observation_not_found"]),
            409: error_response(["not_from_mushroom_observer", "observation_not_done"]),
        },
    )
    def get(self, request: Request, id: str) -> Response:
        observation = self.observation(id)
        if observation.mushroom_observer_id is None:
            failure = WRITE_FAILURES["not_from_mushroom_observer"]
            raise WriteFailed("not_from_mushroom_observer", failure.detail)
        draft = self._draft(observation)
        return Response(DraftSerializer({**vars(draft), "seen": seen_of(observation)}).data)

    @_documented("commentAtMushroomObserver", "Post a comment", CommentRequest)
    def post(self, request: Request, id: str) -> Response:
        return self.write(request, id)

    def content(self, said: dict[str, Any], observation: Observation) -> dict[str, Any]:
        return said | {"content": marked(said["content"], self._draft(observation).mark)}

    def _draft(self, observation: Observation) -> Any:
        if observation.answer is None:
            raise NothingToSay
        return comment_draft(observation)
