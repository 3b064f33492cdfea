from django.urls import path, re_path
from rest_framework.routers import SimpleRouter

from predictions.api.batch import BatchView
from predictions.api.explanations import ExplanationView
from predictions.api.feedback import FeedbackView
from predictions.api.photos import PhotoView, PredictionPhotoView
from predictions.api.similar import SimilarView
from predictions.api.usage import UsageView
from predictions.api.views import PredictionViewSet

router = SimpleRouter(trailing_slash=False)
router.register("predictions", PredictionViewSet, basename="prediction")
urlpatterns = [
    path("usage", UsageView.as_view(), name="usage"),
    path("predictions/batch", BatchView.as_view(), name="prediction-batch"),
    *router.urls,
    re_path(
        r"^predictions/(?P<id>[0-9]{1,18})/photo\Z",
        PredictionPhotoView.as_view(),
        name="prediction-photo",
    ),
    re_path(
        r"^predictions/(?P<id>[0-9]{1,18})/explanation\Z",
        ExplanationView.as_view(),
        name="prediction-explanation",
    ),
    re_path(
        r"^predictions/(?P<id>[0-9]{1,18})/similar\Z",
        SimilarView.as_view(),
        name="prediction-similar",
    ),
    re_path(r"^photos/(?P<id>[0-9]{1,18})\Z", PhotoView.as_view(), name="photo"),
    re_path(
        r"^predictions/(?P<id>[0-9]{1,18})/feedback\Z",
        FeedbackView.as_view(),
        name="prediction-feedback",
    ),
]
