"""Settings of components, as a run file gives them."""

import pytest

from pancyte import registry
from pancyte.errors import UsageError


@pytest.mark.parametrize(
    ("kind", "name", "given", "said"),
    [
        ("priors", "signatures", {"without": "MURARO"}, "is 'MURARO', and should be a valid tuple"),
        ("priors", "signatures", {"dims": -3}, "dims is -3"),
        ("backbones", "set", {"features": 9, "value_kind": "rank", "places": 3}, "adds up amounts"),
        ("objectives", "contrastive", {"pooling": "top"}, "should be 'mean' or 'cls'"),
        ("objectives", "contrastive", {"temprature": 1.0}, "has no setting 'temprature'"),
        ("tokenizers", "continuous", {"target_sum": "lots"}, "is 'lots', and should be a valid"),
    ],
)
def test_a_wrong_setting_is_told(kind, name, given, said):
    with pytest.raises(UsageError, match=said):
        registry.settings_of(registry.get(kind, name), given)


def test_settings_become_what_the_component_expects():
    """A run file has lists, whole numbers and, saved as JSON, nothing but those."""
    of = registry.settings_of
    assert of(registry.get("priors", "signatures"), {"without": ["A", "B"]}).without == ("A", "B")
    effects = of(registry.get("objectives", "contrastive"), {"effects": 1}).effects
    assert isinstance(effects, float)
    assert of(registry.get("priors", "file"), {"dims": 0}).dims == 0
