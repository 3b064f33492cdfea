from django.urls import path

from accounts.pages.views import LogoutView, language_choose, log_in

urlpatterns = [
    path("login", log_in, name="login"),
    path("logout", LogoutView.as_view(), name="logout"),
    path("language", language_choose, name="language"),
]
