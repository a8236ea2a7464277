"""The server of a run: what clients over HTTP see of it and may ask of it."""
