"""Side-by-side measurements against peers, and learning runs over seeds."""
