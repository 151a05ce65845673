"""Models of pydantic's, made, validated and written as JSON in each request: `uvicorn bench.apps.items_fastapi:app`."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel


class Price(BaseModel):
    """An amount."""

    amount: float
    currency: str


class Item(BaseModel):
    """Something for sale."""

    id: int
    name: str
    tags: list[str]
    prices: dict[str, Price]


app = FastAPI()


@app.get("/status")
def status() -> str:
    """Answer at once."""
    return "ok"


@app.get("/items")
def items(count: int) -> list[Item]:
    """Return so many."""
    return [
        Item(
            id=number,
            name=f"item {number}",
            tags=[f"tag {number % 7}", f"tag {number % 11}"],
            prices={
                land: Price(amount=number / 100, currency=land)
                for land in ("de", "fr", "us")
            },
        )
        for number in range(count)
    ]
