"""Reads files of metrics with Prometheus's own parsers and prints what they hold: `read_metrics.py FILE…`.

One JSON array per file, of [name, labels, value]. Both parsers, for OpenMetrics and for the older text format, must find
the same samples, and the first a type and a meaning for each; a file that either of them refuses ends the program.
"""

import json
import pathlib
import sys

from prometheus_client import parser as text_format
from prometheus_client.openmetrics import parser as openmetrics


def samples(families):
    """The samples of one file, in an order that both parsers share."""
    return [
        [sample.name, sample.labels, sample.value]
        for family in families
        for sample in family.samples
    ]


for name in sys.argv[1:]:
    content = pathlib.Path(name).read_text(encoding="ascii")
    families = list(openmetrics.text_string_to_metric_families(content))
    for family in families:
        assert family.documentation and family.type in ("counter", "gauge"), family
    found = samples(families)
    assert found == samples(text_format.text_string_to_metric_families(content)), name
    print(json.dumps(found))
