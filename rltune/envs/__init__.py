"""Environments: making them, stepping several at once, and turning their spaces into arrays."""
