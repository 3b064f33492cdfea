from django.urls import path
from rest_framework.routers import SimpleRouter

from supervision.trainings.api.views import RunViewSet

router = SimpleRouter(trailing_slash=False)
router.register("runs", RunViewSet, basename="run")
urlpatterns = [
    *router.urls,
    *(
        path(name, RunViewSet.as_view({"post": name}), name=name)
        for name in ("train", "finetune", "search")
    ),
]
