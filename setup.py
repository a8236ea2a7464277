"""Packaging of rltune: what it installs, and what each extra adds."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

REQUIRED = [
    "numpy>=1.26,<3",
    "gymnasium>=1.2,<2",
    "ray>=2.40,<3",
    "torch>=2.4,<3",
    "jax>=0.6,<1",
    "safetensors>=0.4.3",
    "tensorboardX>=2.6.2",
    "google-crc32c>=1.5",
    "pyyaml>=6",
    "click>=8.1",
    "psutil>=5.9",
    "cloudpickle>=3",
    "filelock>=3.13",
]

EXTRAS = {
    "tf": ["tensorflow>=2.16,<3"],
    "atari": ["ale-py>=0.10"],
    "mujoco": ["gymnasium[mujoco]"],
    "box2d": ["gymnasium[box2d]"],
    "search": [
        "optuna>=4",
        "hyperopt>=0.2.7",
        # nevergrad needs 1.4.0; 2 has another interface.
        "bayesian-optimization>=1.4,<2",
        "scikit-optimize>=0.10",
        "threadpoolctl>=3",
        "nevergrad>=1.0",
        "ax-platform>=1.0",
    ],
    "analysis": ["pandas>=2.2", "tabulate>=0.9"],
    "plot": ["pandas>=2.2", "plotly>=6", "matplotlib>=3.9"],
    "server": ["starlette>=0.40", "uvicorn>=0.30", "jsonschema>=4.18"],
}
EXTRAS["dev"] = [
    *EXTRAS["analysis"],
    *EXTRAS["plot"],
    *EXTRAS["server"],
    # All but Ax, which needs many packages of its own.
    *(requirement for requirement in EXTRAS["search"] if not requirement.startswith("ax-")),
    "pytest>=8",
    "hypothesis>=6.100",
    "schemathesis>=4",
    "ruff>=0.6",
    "mypy>=1.11",
    "moto[server]>=5",
    "awscli>=1.32",
    "pandas-stubs",
    "types-PyYAML",
    "types-psutil",
    "types-tabulate",
]
EXTRAS["all"] = sorted({requirement for extra in EXTRAS.values() for requirement in extra})


def version() -> str:
    """The version as `rltune/version.py` states it, read without importing the package."""
    text = (ROOT / "rltune" / "version.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    if match is None:
        raise RuntimeError("rltune/version.py states no __version__")
    return match.group(1)


setup(
    name="rltune",
    version=version(),
    description="Reinforcement learning algorithms and the experiment runner that tunes them",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.10",
    packages=find_packages(include=["rltune", "rltune.*", "agents"]),
    package_data={"rltune": ["py.typed"]},
    install_requires=REQUIRED,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["rltune=rltune.cli.main:main"]},
)
