"""pulpcore-api with the application patch: its worker class, subclassed. Run by Pulp's own interpreter."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Any

from pulpcore.app import entrypoint

EVERY = 1024


class PulpApiWorker(entrypoint.PulpApiWorker):
    """The worker under the name that pulpcore-api insists on."""

    count = 0

    def handle_request(self, *arguments: Any) -> Any:
        """Answer one request."""
        try:
            return super().handle_request(*arguments)
        finally:
            self.count += 1
            if self.count % EVERY == 0:
                gc.collect()
                ctypes.CDLL(None).malloc_trim(0)


PulpApiWorker.__module__ = entrypoint.__name__
entrypoint.PulpApiWorker = PulpApiWorker

if __name__ == "__main__":
    sys.exit(entrypoint.main())
