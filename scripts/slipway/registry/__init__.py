"""The system of record for models. One registry a module."""
