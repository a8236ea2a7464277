"""Tests of rltune.envs, and the small environments that other tests use too."""
