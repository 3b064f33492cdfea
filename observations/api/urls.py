from django.urls import path, re_path
from rest_framework.routers import SimpleRouter

from observations.api.mushroom_observer import (
    CommentView,
    KeyView,
    NamingView,
    VoteView,
    WriteViewSet,
)
from observations.api.views import ObservationViewSet

router = SimpleRouter(trailing_slash=False)
router.register("observations", ObservationViewSet, basename="observation")
router.register("mushroom-observer-writes", WriteViewSet, basename="mushroom-observer-write")
ONE = r"^observations/(?P<id>[0-9]{1,18})/mushroom-observer/"
urlpatterns = [
    *router.urls,
    path("mushroom-observer-key", KeyView.as_view(), name="mushroom-observer-key"),
    re_path(rf"{ONE}votes\Z", VoteView.as_view()),
    re_path(rf"{ONE}namings\Z", NamingView.as_view()),
    re_path(rf"{ONE}comment\Z", CommentView.as_view()),
]
