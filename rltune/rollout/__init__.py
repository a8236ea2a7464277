"""Sampling: one worker steps environments with a policy copy; a worker set does the same over Ray actors."""
