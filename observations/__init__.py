"""Finds with several photos, verdicts on their proposed names, and Mushroom Observer."""
