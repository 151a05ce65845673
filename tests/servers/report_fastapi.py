"""A FastAPI application that answers first and makes its report then: `uvicorn report_fastapi:app`."""

import report
from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


@app.get("/report")
def begin(tasks: BackgroundTasks) -> str:
    """A report is begun."""
    tasks.add_task(report.make, 2)
    return "begun"
