from django.urls import path, re_path
from rest_framework.authentication import SessionAuthentication

from observations.pages import account, ask, history, queue
from predictions.api.explanations import ExplanationView
from predictions.api.photos import PhotoView, PredictionPhotoView

# Pictures in pages: the API's own views, for who is logged in to the pages.
by_session = {"authentication_classes": [SessionAuthentication], "schema": None}
pictures = [
    re_path(
        r"^pictures/predictions/(?P<id>[0-9]{1,18})\Z",
        PredictionPhotoView.as_view(**by_session),
        name="prediction-picture",
    ),
    re_path(
        r"^pictures/predictions/(?P<id>[0-9]{1,18})/explanation\Z",
        ExplanationView.as_view(**by_session),
        name="explanation-picture",
    ),
    re_path(
        r"^pictures/photos/(?P<id>[0-9]{1,18})\Z",
        PhotoView.as_view(**by_session),
        name="photo-picture",
    ),
]
urlpatterns = [
    path("", ask.home, name="home"),
    path("queue", queue.queue, name="queue"),
    path("finds", history.finds, name="finds"),
    re_path(r"^finds/(?P<number>[0-9]{1,18})\Z", history.find, name="find"),
    path("account", account.account, name="account"),
    *pictures,
]
