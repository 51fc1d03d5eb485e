"""What is taken out of messages, and that looking for it first misses nothing."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routeiq.adapters.logs import redact as module
from routeiq.adapters.logs.redact import REDACTED, redact, suspicious

RULES = [pattern for pattern, _ in module._RULES]


@pytest.mark.parametrize("pattern", [*RULES, module._ANSI], ids=range(len(RULES) + 1))
def test_whatever_a_rule_would_change_is_looked_at(pattern: re.Pattern[str]) -> None:
    """Each text that a rule matches, within others, is taken for suspicious."""

    @settings(max_examples=60, deadline=None)
    @given(st.from_regex(pattern), st.text(max_size=20), st.text(max_size=20))
    def check(found: str, before: str, after: str) -> None:
        assert suspicious(found)
        assert suspicious(f"{before}{found}{after}")

    check()


@pytest.mark.parametrize("name", ["knn", "gpt-4o-mini", "dec_0123456789abcdef01234567", "routing decision", "réponse"])
def test_names_and_ids_stay_as_they_are(name: str) -> None:
    """What holds no sign of a credential is not gone through, and comes out as it went in."""
    assert not suspicious(name)
    assert redact(name) == name


def test_a_credential_is_found_in_any_case() -> None:
    """The signs are looked for without regard to case."""
    assert redact("BEARER abcdefghij") == f"BEARER {REDACTED}"
    assert REDACTED in redact("AKIA0123456789ABCDEF")
