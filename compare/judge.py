"""Runs a unit both ways and compares, test by test; what differs is run again, to tell chance from difference."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from compare.run import run
from compare.unit import FAIL, OK, SKIP, WHOLE, Run, Unit, Variant

AGAIN = 3
MISSING = "not run"
FATAL = re.compile(": (signal|no end)")


@dataclass
class Difference:
    """A test that did not end alike, with what it gave each time."""

    test: str
    variant: Variant
    plain: list[str]
    preloaded: list[str]

    @property
    def real(self) -> bool:
        """Whether the library makes the difference.

        Chance is: the plain program does that as well, or it never happened again. A crash or a hang is no chance.
        """
        strange = [
            outcome for outcome in self.preloaded if outcome not in set(self.plain)
        ]
        fatal = any(FATAL.search(outcome) for outcome in strange)
        return fatal or len(strange) > 1

    def __str__(self) -> str:
        kind = "DIFFERENT" if self.real else "flaky"
        plain, preloaded = ", ".join(self.plain), ", ".join(self.preloaded)
        return f"{kind}: {self.test}: plain {plain}; {self.variant} {preloaded}"


@dataclass
class Verdict:
    """What came out of one unit."""

    unit: Unit
    runs: dict[Variant, Run] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    # The library wrote although it was told not to.
    noisy: bool = False

    @property
    def real(self) -> bool:
        """Whether anything is to be done about it."""
        return self.noisy or any(difference.real for difference in self.differences)

    def counts(self, variant: Variant) -> Counter[str]:
        """Count the tests of one run by outcome."""
        outcomes = self.runs[variant].outcomes
        return Counter(
            outcome if outcome in (OK, SKIP) else FAIL
            for name, outcome in outcomes.items()
            if name != WHOLE or outcome != OK
        )


def judge(
    unit: Unit,
    variants: list[Variant],
    libraries: dict[Variant, Path],
    logs: Path,
    say: Callable[[str], None],
) -> Verdict:
    """Run the unit plain and in each of these variants, and compare."""
    unit.prepare()
    verdict = Verdict(unit)
    for variant in (Variant.PLAIN, *variants):
        result = verdict.runs[variant] = run(unit, variant, libraries, logs, [])
        tests = len(result.outcomes) - 1
        say(f"{unit} {variant}: {tests} tests in {result.seconds:.0f} s")
    plain = verdict.runs[Variant.PLAIN].outcomes
    for variant in variants:
        other = verdict.runs[variant]
        verdict.noisy |= variant != Variant.DEBUG and other.lines > 0
        # In the order in which they ran.
        names = [name for name in {**plain, **other.outcomes} if name != WHOLE]
        differences = [
            Difference(
                name, variant, [plain.get(name, MISSING)], [other.outcomes[name]]
            )
            if name in other.outcomes
            else Difference(name, variant, [plain[name]], [MISSING])
            for name in [*names, WHOLE]
            if plain.get(name) != other.outcomes.get(name)
        ]
        if differences:
            say(
                f"{unit} {variant}: {len(differences)} tests differ, running them again"
            )
            again(unit, variant, libraries, logs, differences)
            verdict.differences += differences
    return verdict


def again(
    unit: Unit,
    variant: Variant,
    libraries: dict[Variant, Path],
    logs: Path,
    differences: list[Difference],
) -> None:
    """Run these tests again, both ways in turn, and add what they give."""
    names = [difference.test for difference in differences]
    # All of it where it did not come to its end, or where only all of it tells.
    names = [] if WHOLE in names else names
    for _ in range(AGAIN):
        for way in (Variant.PLAIN, variant):
            outcomes = run(unit, way, libraries, logs, names).outcomes
            for difference in differences:
                seen = (
                    difference.plain if way == Variant.PLAIN else difference.preloaded
                )
                seen.append(outcomes.get(difference.test, MISSING))
