"""The paths of supervision: each module of this package has its own."""

urlpatterns: list = []
