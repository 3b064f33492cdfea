"""Admin pages of species and their names. Versions and runs have theirs in `supervision`."""

from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from common.admin import CsvListAdmin, ReadOnlyAdmin, latin
from mlmodels.models import Species, SpeciesName


@admin.register(Species)
class SpeciesAdmin(ReadOnlyAdmin):
    """What is known of the species; versions and labels need them as they are."""

    list_display = ("in_latin",)
    csv_columns = ("name",)
    search_fields = ("name", "names__name")
    fields = ("in_latin", "look_alikes")

    @admin.display(description=_("name"), ordering="name")
    def in_latin(self, species: Species) -> str:
        return latin(species.name)


@admin.register(SpeciesName)
class SpeciesNameAdmin(CsvListAdmin):
    """Names that administrators add and correct; proposals and filters know them at once."""

    list_display = ("in_latin", "kind", "of_species", "mushroom_observer_id", "is_imported")
    csv_columns = ("name", "kind", "species", "mushroom_observer_id", "is_imported")
    list_filter = ("kind", "is_imported", "species")
    list_select_related = ("species",)
    search_fields = ("name", "species__name", "=mushroom_observer_id")
    search_help_text = _("A name, or its id at Mushroom Observer")

    @admin.display(description=_("name"), ordering="name")
    def in_latin(self, name: SpeciesName) -> str:
        return latin(name.name)

    @admin.display(description=_("species"), ordering="species")
    def of_species(self, name: SpeciesName) -> str:
        return latin(name.species.name)

    def save_model(
        self, request: HttpRequest, obj: SpeciesName, form: ModelForm, change: bool
    ) -> None:
        """Save a name that a person has entered or changed; no import overwrites it from now on."""
        obj.is_imported = False
        super().save_model(request, obj, form, change)
