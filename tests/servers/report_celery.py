"""A Celery application: `celery --app report_celery worker`, with Redis at $REDIS_URL."""

import os

import celery
import report

app = celery.Celery("report", broker=os.environ["REDIS_URL"])
app.task(name="report")(report.make)
app.task(name="leave")(report.leave)
