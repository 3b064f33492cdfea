"""The forms of what users write at Mushroom Observer, and of their API keys there."""

from typing import Any

from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from common.messages import Message
from mlmodels.names import MAX_NAME_LENGTH
from observations.api.serializers import ProposedNameField
from observations.comment_drafts import MAX_CONTENT
from observations.models import MushroomObserverKey, MushroomObserverWrite
from observations.mushroom_observer.references import observation_url
from observations.mushroom_observer.writes import MAX_SUMMARY
from predictions.api.serializers import FailureSerializer

MAX_KEY = 200
SEEN_HELP = "`source.seen` of the observation that the user looks at."
VOTE_HELP = (
    "3 I'd call it that, 2 promising, 1 could be, 0 no opinion (takes a vote away), -1 doubtful, "
    "-2 not likely, -3 as if."
)

KEY_EXAMPLE: dict[str, Any] = {
    "status": "valid",
    "detail": "",
    "ends_with": "x4f7",
    "mushroom_observer_user": 4711,
    "stored_at": "2026-11-29T15:00:00Z",
    "checked_at": "2026-11-29T15:00:06Z",
}
NO_KEY: dict[str, Any] = dict.fromkeys(KEY_EXAMPLE) | {"status": "none", "detail": ""}
WRITE_EXAMPLE: dict[str, Any] = {
    "id": 8,
    "user": "alice",
    "observation": 5,
    "mushroom_observer": 123456,
    "url": "https://mushroomobserver.org/observations/123456",
    "kind": "vote",
    "content": {"naming": 345678, "vote": 2},
    "state": "sent",
    "error": None,
    "ids": [345678],
    "created_at": "2026-11-29T15:00:00Z",
    "sent_at": "2026-11-29T15:00:06Z",
    "finished_at": "2026-11-29T15:00:07Z",
}


class KeyRequest(serializers.Serializer):
    key = serializers.RegexField(
        r"^[!-~]+$",
        max_length=MAX_KEY,
        write_only=True,
        help_text="An API key of your account at Mushroom Observer.",
    )


@extend_schema_serializer(examples=[OpenApiExample("Valid", value=KEY_EXAMPLE, response_only=True)])
class KeySerializer(serializers.Serializer):
    """Whether there is a key. The key itself is never told."""

    status = serializers.ChoiceField(["none", *MushroomObserverKey.Status.values])
    detail = serializers.CharField(help_text="Why it was refused, or could not be checked.")
    ends_with = serializers.CharField(allow_null=True, help_text="Its last four characters.")
    mushroom_observer_user = serializers.IntegerField(
        source="site_user_id", allow_null=True, help_text="Id of its owner there, once known."
    )
    stored_at = serializers.DateTimeField(source="created_at", allow_null=True)
    checked_at = serializers.DateTimeField(allow_null=True)


class WriteRequest(serializers.Serializer):
    seen = serializers.RegexField("^[0-9a-f]{64}$", help_text=SEEN_HELP)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if isinstance(data, dict) and (unknown := sorted(data.keys() - self.fields.keys())):
            message = Message(
                "This field is unknown. Known are %(names)s.", names=", ".join(self.fields)
            )
            raise serializers.ValidationError(dict.fromkeys(unknown, message), "invalid")
        return dict(super().to_internal_value(data))


class VoteRequest(WriteRequest):
    """The context's `observation` is what is voted on."""

    naming = serializers.IntegerField(
        min_value=1, max_value=10**15, help_text="Id there of the proposed name."
    )
    vote = serializers.IntegerField(min_value=-3, max_value=3, help_text=VOTE_HELP)

    def validate_naming(self, naming: int) -> int:
        if not self.context["observation"].names.filter(naming_id=naming).exists():
            raise serializers.ValidationError(
                gettext("This is none of the names proposed for the observation."), "invalid"
            )
        return naming


class NamingRequest(WriteRequest):
    name = ProposedNameField(max_length=MAX_NAME_LENGTH)
    vote = serializers.IntegerField(
        min_value=-3, max_value=3, default=3, help_text=f"On that name. {VOTE_HELP}"
    )


class CommentRequest(WriteRequest):
    summary = serializers.CharField(max_length=MAX_SUMMARY)
    content = serializers.CharField(
        max_length=MAX_CONTENT,
        help_text="In Textile. The mark of the draft follows it, if it does not end with it.",
    )


class DraftSerializer(serializers.Serializer):
    summary = serializers.CharField()
    content = serializers.CharField(help_text="In Textile, to be edited.")
    mark = serializers.CharField(help_text="What follows the content when it is posted.")
    seen = serializers.CharField(help_text="To be sent with the comment.")


@extend_schema_serializer(
    examples=[OpenApiExample("Sent", value=WRITE_EXAMPLE, response_only=True)]
)
class WriteSerializer(serializers.ModelSerializer):
    """`state` goes from pending through sending to sent or failed. Failed: nothing was done.

    Unknown: it may have been done; a worker looks at the site and then says which.
    """

    user = serializers.CharField(source="user.username", allow_null=True, default=None)
    observation = serializers.IntegerField(source="observation_id", allow_null=True)
    mushroom_observer = serializers.IntegerField(source="mushroom_observer_id")
    url = serializers.SerializerMethodField()
    content = serializers.DictField(help_text="What is sent, without the key.")
    error = serializers.SerializerMethodField()
    ids = serializers.SerializerMethodField(help_text="Of what was made or changed there.")

    class Meta:
        model = MushroomObserverWrite
        fields = (
            *("id", "user", "observation", "mushroom_observer", "url", "kind", "content", "state"),
            *("error", "ids", "created_at", "sent_at", "finished_at"),
        )
        read_only_fields = fields

    def get_url(self, write: MushroomObserverWrite) -> str:
        return observation_url(write.mushroom_observer_id)

    @extend_schema_field(FailureSerializer(allow_null=True))
    def get_error(self, write: MushroomObserverWrite) -> dict[str, str] | None:
        if not write.error_code:
            return None
        return {"code": write.error_code, "detail": str(write.error_detail)}

    @extend_schema_field(serializers.ListField(child=serializers.IntegerField()))
    def get_ids(self, write: MushroomObserverWrite) -> list[int]:
        return write.answer["ids"] if write.answer else []
