"""Search algorithms: which configurations are tried."""

from rltune.tune.suggest.basic_variant import BasicVariantGenerator
from rltune.tune.suggest.search import SearchAlgorithm

__all__ = ["BasicVariantGenerator", "SearchAlgorithm"]
