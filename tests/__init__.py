"""The tests, a package so that they can share environments and helpers."""
