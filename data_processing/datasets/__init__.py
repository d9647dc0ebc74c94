"""Converters, one module per dataset."""
