from django.urls import path
from rest_framework.routers import SimpleRouter

from supervision.monitoring.api.alerts import AlertViewSet
from supervision.monitoring.api.statistics import AccuracyView, LastPredictionsView, NewPhotosView

router = SimpleRouter(trailing_slash=False)
router.register("alerts", AlertViewSet, basename="alert")
urlpatterns = [
    *router.urls,
    path("accuracy", AccuracyView.as_view(), name="accuracy"),
    path("past_pred_acc", LastPredictionsView.as_view(), name="past_pred_acc"),
    path("nb_new_img", NewPhotosView.as_view(), name="nb_new_img"),
]
