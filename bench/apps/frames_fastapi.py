"""A report made with pandas and pyarrow in each request: `uvicorn bench.apps.frames_fastapi:app`."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pyarrow as pa
from fastapi import FastAPI, Response
from pyarrow import parquet

WORDS = np.array([f"customer {number * 7919 % 10_007}" for number in range(2_000)])
LANDS = np.array(["de", "fr", "us", "jp", "br"])

app = FastAPI()


@app.get("/status")
def status() -> str:
    """Answer at once."""
    return "ok"


@app.get("/report")
def report(count: int) -> Response:
    """Sum up so many rows, once from a data frame and once from a Parquet file of them."""
    rng = np.random.default_rng(count)
    frame = pd.DataFrame(
        {
            "customer": rng.choice(WORDS, count),
            "land": rng.choice(LANDS, count),
            "amount": rng.random(count),
            "pieces": rng.integers(1, 100, count),
        }
    )
    file = io.BytesIO()
    parquet.write_table(pa.Table.from_pandas(frame), file)
    file.seek(0)
    read = parquet.read_table(file).to_pandas()
    sums = read.groupby(["land", "customer"], as_index=False)["amount"].sum()
    joined = frame.merge(sums, on=["land", "customer"], suffixes=("", "_sum"))
    text = joined.nlargest(max(10, count // 20), "amount").to_json(orient="records")
    return Response(text, media_type="application/json")
