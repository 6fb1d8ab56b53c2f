# SPDX-License-Identifier: MIT
"""Addresses of searches: each is a state, and each state has one."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("starlette", reason="the page needs the extra web")

from semcbir.web.asked import Asked, Photo

KEYS = st.one_of(st.integers(0, 10**18 - 1), st.just("u" + "0123456789abcdef" * 2))
NAMES = st.lists(st.sampled_from(["sea", "=water", "traffic light", "élan"]), unique=True, max_size=3).map(
    tuple
)
WEIGHTS = st.sampled_from([0.0, 0.5, 2.0, 7.25])
STATES = st.fixed_dictionaries(
    {
        "photos": st.lists(
            st.builds(Photo, KEYS, st.sampled_from([1.0, -0.5, 2.0])), min_size=1, max_size=3
        ).map(tuple),
        "only": NAMES,
        "without": NAMES,
        "weights": st.dictionaries(st.sampled_from(["sky", "=sky", "a b"]), WEIGHTS, max_size=2),
        "where": st.lists(
            st.sampled_from(["folder:a b/c", "name:*.png", "date:2019-05..2019-08"]), max_size=2
        ).map(tuple),
        "penalized": st.sampled_from(["last", "drop"]),
        "feature": st.sampled_from([None, "kaze"]),
        "smooth": st.sampled_from([None, 10]),
        "expand": st.integers(0, 5),
        "k": st.integers(1, 500),
        "min_share": st.sampled_from([0.02, 0.5]),
    }
)


@given(STATES, st.sampled_from([("epsilon", 0.9), ("epsilon", None), ("keep", 20), ("epsilon", "auto")]))
def test_a_state_survives_its_address(values: dict[str, Any], limit: tuple[str, Any]) -> None:
    asked = Asked(**values, **{limit[0]: limit[1]})
    address = urlencode(asked.parameters())
    assert Asked.parse(parse_qsl(address)) == asked
    assert Asked.parse(asked.parameters()).parameters() == asked.parameters()


@given(st.one_of(st.just((3, 4)), st.just((0, 0, 5, 7))))
def test_so_does_a_region(region: tuple[int, ...]) -> None:
    asked = Asked(photos=(Photo(3),), region=region)
    assert Asked.parse(asked.parameters()) == asked


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("q=x", "q: expected an id, or what an upload gave, got 'x'"),
        ("q=-1", "q: expected an id, or what an upload gave, got '-1'"),
        ("q=../../etc/passwd", "q: expected an id, or what an upload gave, got '../../etc/passwd'"),
        ("q=3:nan", "q: expected a number from -100 to 100, got 'nan'"),
        ("q=" + "9" * 19, "q: expected an id"),
        ("&".join(["q=1"] * 21), "q: expected at most 20 photos, got 21"),
        ("q=1&epsilon=3", "epsilon: expected a number from 0 to 2, got '3'"),
        ("q=1&epsilon=inf", "epsilon: expected a number from 0 to 2, got 'inf'"),
        ("q=1&keep=0", "keep: expected an integer from 1 to 2147483647, got '0'"),
        ("q=1&keep=5&epsilon=0.5", "keep: expected no epsilon beside it, got both"),
        ("q=1&k=501", "k: expected an integer from 1 to 500, got '501'"),
        ("q=1&k=5&k=6", "k: expected one value, got 2"),
        ("q=1&k=٣", "k: expected an integer from 1 to 500, got '٣'"),
        ("q=1&penalized=away", "penalized: expected 'last' or 'drop', got 'away'"),
        ("q=1&region=1,2,3", "region: expected X,Y or X0,Y0,X1,Y1, got '1,2,3'"),
        ("q=1&region=5,5,1,9", "region: expected a box"),
        ("q=1&q=2&region=5,5", "region: expected one photo, got 2"),
        ("q=1&weights=sky", "weights: expected CLASS=NUMBER, got 'sky'"),
        ("q=1&weights=sky=-1", "weights: expected a number from 0 to 1e+06, got '-1'"),
        ("q=1&where=colour:red", "where: expected folder:PATH"),
        ("q=1&wat=1", "'wat': expected one of q, only, without"),
        ("q=1&smooth=1001", "smooth: expected an integer from 1 to 1000, got '1001'"),
        ("q=1&min_share=2", "min_share: expected a number from 0 to 1, got '2'"),
    ],
)
def test_wrong_addresses_are_refused(address: str, message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the message is compared below
        Asked.parse(parse_qsl(address))
    assert str(refused.value).startswith(message)
