"""What a person types: one module per command, loaded when it is asked for."""
