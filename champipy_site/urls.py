"""All URL patterns. API paths do not end with a slash."""

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.decorators.http import conditional_page
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from accounts.pages.views import admin_log_in
from champipy_site.api_language import in_english
from champipy_site.errors import UnknownPathView
from champipy_site.health import DbConnexView, StatusView, livez, readyz
from champipy_site.metrics import metrics
from observations.user_script import user_script

api_v1 = [
    path("status", StatusView.as_view(), name="status"),
    path("dbconnex", DbConnexView.as_view(), name="dbconnex"),
    path("schema", in_english(conditional_page(SpectacularAPIView.as_view())), name="schema"),
    path("docs", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("", include("accounts.api.urls")),
    path("", include("mlmodels.api.urls")),
    path("", include("predictions.api.urls")),
    path("", include("observations.api.urls")),
    path("", include("supervision.evaluations.api.urls")),
    path("", include("supervision.trainings.api.urls")),
    path("", include("supervision.monitoring.api.urls")),
]
handler400 = "champipy_site.errors.bad_request"
handler500 = "champipy_site.errors.server_error"
urlpatterns = [
    path("", include("accounts.pages.urls")),
    path("", include("observations.pages.urls")),
    path("admin/login/", admin_log_in),  # instead of the one in admin.site.urls
    path("admin/", admin.site.urls),
    path("champipy.user.js", user_script, name="user-script"),
    path("livez", livez, name="livez"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("api/v1/", include(api_v1)),
    re_path(r"^api(/[\s\S]*)?$", UnknownPathView.as_view()),
]
