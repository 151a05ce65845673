"""A Dramatiq application: `dramatiq report_dramatiq`, with Redis at $REDIS_URL. Executed itself it sends one task."""

import os

import dramatiq
import report
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))
make = dramatiq.actor(report.make, actor_name="report")

if __name__ == "__main__":
    make.send()
