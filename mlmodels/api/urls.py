from django.urls import path

from mlmodels.api.views import SpeciesView

urlpatterns = [path("species", SpeciesView.as_view(), name="species")]
