"""Results as pandas frames for parallel-coordinates plots."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rltune import result as keys
from rltune.tune.analysis import load_pandas
from rltune.tune.flatten import flatten_dict

if TYPE_CHECKING:
    import pandas as pd

SEPARATOR = ":"

log = logging.getLogger(__name__)


def load_results_to_df(directory: str, result_name: str = keys.EXPR_RESULT_FILE) -> pd.DataFrame:
    """One row per trial below `directory`: its config, and over it its last result.

    Nested keys are joined by `:`. Trials without a result are left out, with a warning.
    """
    rows = []
    for path in sorted(Path(directory).expanduser().rglob(result_name)):
        try:
            config = json.loads((path.parent / keys.EXPR_PARAM_FILE).read_bytes())
            last = json.loads(path.read_bytes().splitlines()[-1])
        except (OSError, ValueError, IndexError) as error:
            log.warning("%s is left out: %s", path.parent, error)
        else:
            rows.append({**flatten_dict(config, SEPARATOR), **flatten_dict(last, SEPARATOR)})
    table: pd.DataFrame = load_pandas().DataFrame(rows)
    return table


def generate_plotly_dim_dict(df: pd.DataFrame, field: str) -> dict[str, Any]:
    """One axis of `plotly.graph_objs.Parcoords`: numbers as they are, texts as codes with labels.

    Raises TypeError for a column of anything else.
    """
    from pandas.api.types import is_numeric_dtype, is_string_dtype

    column = df[field]
    if is_numeric_dtype(column):
        return {"label": field, "values": column}
    if not is_string_dtype(column):
        raise TypeError(f"{field!r} holds neither numbers nor texts but {column.dtype}.")
    codes, texts = load_pandas().factorize(column)
    return {
        "label": field,
        "values": codes.tolist(),
        "tickvals": list(range(len(texts))),
        "ticktext": list(texts),
    }
