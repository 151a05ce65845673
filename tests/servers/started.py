"""An application whose import leaves 200 MB free, between a few blocks that stay: `started:wsgi`."""

from hello import wsgi

__all__ = ["PINS", "wsgi"]

PINS = [bytes(2_000 + number % 7) for number in range(100_000)][::2_000]
