#!/usr/bin/env python
"""Django's command line with the settings of this project."""

import os
import sys

from django.core.management import execute_from_command_line

from common.storage.errors import StorageUnavailable

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "champipy_site.settings")
    try:
        execute_from_command_line(sys.argv)
    except StorageUnavailable as unavailable:
        sys.exit(f"{unavailable}\n{unavailable.advice} Then run this command again.")
