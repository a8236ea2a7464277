"""Trains from the command line: python train.py --run PPO --env CartPole-v1."""

from rltune.cli.train import main

if __name__ == "__main__":
    main()
