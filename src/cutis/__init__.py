"""Cutis: skin-image classifiers, honest by default."""

__version__ = "0.1.0"
