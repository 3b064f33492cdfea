from django.urls import path

from accounts.api.views import TokenView, UserView

urlpatterns = [
    path("token", TokenView.as_view(), name="token"),
    path("user", UserView.as_view(), name="user"),
]
