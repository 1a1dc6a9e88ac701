"""Numbers of pictures are rounded as JavaScript rounds them; a browser test compares the two."""

import pytest

from howfar.charts.spacing.elements import fixed, number
from howfar.charts.spacing.scales import short


@pytest.mark.parametrize(
    ("value", "digits", "written"),
    [
        (12.5, 2, "13"),
        (0.000012, 2, "0.000012"),
        (1.25e-7, 2, "1.2e-7"),  # as a float a little less than 1.25e-7
        (9.99, 2, "10"),
        (1_250_000, 2, "1300000"),
        (-0.0, 2, "0"),
        (0.03, 2, "0.03"),
    ],
)
def test_few_digits(value, digits, written):
    assert short(value, digits) == written


def test_fixed_digits():
    assert [number(value) for value in (0.25, -0.25, -0.04, 7.0, 123_456.75)] == ["0.3", "-0.3", "0", "7", "123456.8"]
    assert fixed(1.125, 2) == "1.13"
