"""The algorithms, one file each: an "agent" here is an algorithm, as in RLlib's folder of that name.

The table maps a name to where its class is; nothing is imported before it is asked for.
"""

ALGORITHMS = {
    "PG": "agents.pg:PG",
    "PPO": "agents.ppo:PPO",
    "DQN": "agents.dqn:DQN",
}
