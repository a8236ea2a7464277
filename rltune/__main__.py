"""`python -m rltune` is `rltune`."""

from rltune.cli.main import main

if __name__ == "__main__":
    main()
