from rest_framework.routers import SimpleRouter

from observations.api.views import ObservationViewSet

router = SimpleRouter(trailing_slash=False)
router.register("observations", ObservationViewSet, basename="observation")
urlpatterns = router.urls
