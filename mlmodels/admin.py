"""Admin page of the names of species. Versions and runs have theirs in `supervision`."""

from django.contrib import admin

from mlmodels.models import SpeciesName


@admin.register(SpeciesName)
class SpeciesNameAdmin(admin.ModelAdmin):
    """Names that administrators add and correct; proposals and filters know them at once."""

    list_display = ("name", "kind", "species", "mushroom_observer_id")
    list_filter = ("kind", "species")
    list_select_related = ("species",)
    search_fields = ("name", "species__name", "=mushroom_observer_id")
    search_help_text = "A name, or its id at Mushroom Observer"
