"""Functional models and distributions, written once on the operations of `rltune.frameworks.ops`."""
