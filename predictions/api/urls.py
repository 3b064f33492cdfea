from rest_framework.routers import SimpleRouter

from predictions.api.views import PredictionViewSet

router = SimpleRouter(trailing_slash=False)
router.register("predictions", PredictionViewSet, basename="prediction")
urlpatterns = router.urls
