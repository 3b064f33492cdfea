from django.urls import path, re_path
from rest_framework.authentication import SessionAuthentication

from observations.pages import account, ask, finds, history, queue, single_photos, why, writes
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
        r"^pictures/predictions/(?P<id>[0-9]{1,18})/thumbnail\Z",
        PredictionPhotoView.as_view(kind="thumbnail", **by_session),
        name="prediction-thumbnail",
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
    re_path(
        r"^pictures/photos/(?P<id>[0-9]{1,18})/thumbnail\Z",
        PhotoView.as_view(kind="thumbnail", **by_session),
        name="photo-thumbnail",
    ),
]
urlpatterns = [
    path("", ask.home, name="home"),
    path("ask", ask.ask, name="ask"),
    path("queue", queue.queue, name="queue"),
    path("queue/undo", queue.undo, name="queue-undo"),
    path("queue/more", queue.more, name="queue-more"),
    path("queue/poll", queue.switch_on, name="queue-switch-on"),
    re_path(r"^queue/(?P<number>[0-9]{1,18})\Z", queue.decide, name="queue-decide"),
    path("finds", history.finds, name="finds"),
    path("photos", single_photos.photos, name="single-photos"),
    path("photos.csv", single_photos.photos_csv, name="single-photos-csv"),
    path("photos/delete", single_photos.photos_delete, name="single-photos-delete"),
    path("finds.csv", history.finds_csv, name="finds-csv"),
    path("finds/delete", history.finds_delete, name="finds-delete"),
    re_path(r"^finds/(?P<number>[0-9]{1,18})\Z", finds.find, name="find"),
    re_path(r"^finds/(?P<number>[0-9]{1,18})/card\Z", finds.card, name="find-card"),
    re_path(r"^finds/(?P<number>[0-9]{1,18})/names\Z", finds.names, name="find-names"),
    re_path(r"^finds/(?P<number>[0-9]{1,18})/decision\Z", finds.decide, name="find-decide"),
    re_path(r"^finds/(?P<number>[0-9]{1,18})/delete\Z", finds.delete, name="find-delete"),
    re_path(
        r"^finds/(?P<number>[0-9]{1,18})/mushroom-observer/(?P<kind>vote|naming|comment)\Z",
        writes.write,
        name="find-write",
    ),
    re_path(r"^finds/(?P<number>[0-9]{1,18})/why\Z", why.why, name="find-why"),
    re_path(
        r"^finds/(?P<number>[0-9]{1,18})/photos/(?P<prediction>[0-9]{1,18})/similar\Z",
        why.similar,
        name="find-similar",
    ),
    path("account", account.account, name="account"),
    path("account/password", account.password_change, name="account-password"),
    path("account/tokens", account.token_add, name="account-token-add"),
    path("account/tokens/<str:digest>/revoke", account.token_revoke, name="account-token-revoke"),
    path("account/key", account.key_store, name="account-key"),
    path("account/key/delete", account.key_delete, name="account-key-delete"),
    *pictures,
]
