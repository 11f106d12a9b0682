"""Verify camera alerts with a vision-language model, in the shapes that NVIDIA VSS speaks."""

__version__ = "0.1.0"
