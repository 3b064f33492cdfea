from rest_framework.routers import SimpleRouter

from supervision.evaluations.api.views import ModelViewSet

router = SimpleRouter(trailing_slash=False)
router.register("models", ModelViewSet, basename="model")
urlpatterns = router.urls
