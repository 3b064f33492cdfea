"""Reads the labels of photos from the names of their folders."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mlmodels.species_selectors import species_called
from predictions.labels import Label, OtherSpecies, other_species


@dataclass
class LabelledFiles:
    """The files of a folder with their labels."""

    files: list[tuple[Path, Label]] = field(default_factory=list)
    refused: dict[Path, str] = field(default_factory=dict)
    """The subfolders whose name is no label, and why."""


def species_files(folder: Path) -> LabelledFiles:
    """Return the photos of a folder with one subfolder per species, under any of its names."""

    def label(name: str) -> Label:
        species = species_called(name)
        if species is None:
            raise ValueError(f"{name} is not a known species.")
        return species

    return _files_of_subfolders(folder, label)


def other_files(folder: Path) -> LabelledFiles:
    """Return the photos of a folder of other species, with one subfolder for each name.

    Photos that lie in the folder itself have no name. A subfolder named after a species that
    models know is refused.
    """
    labelled = _files_of_subfolders(folder, other_species)
    labelled.files += [(path, OtherSpecies()) for path in _files(folder)]
    return labelled


def _files_of_subfolders(folder: Path, label_of_name: Callable[[str], Label]) -> LabelledFiles:
    labelled = LabelledFiles()
    for subfolder in sorted(path for path in folder.iterdir() if path.is_dir()):
        try:
            label = label_of_name(subfolder.name)
        except ValueError as error:
            labelled.refused[subfolder] = str(error)
        else:
            labelled.files += [(path, label) for path in _files(subfolder)]
    return labelled


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())
