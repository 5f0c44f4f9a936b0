"""Every registered metric knows its range, its source and what it needs."""

import numpy as np
import pytest

from pancyte import registry
from pancyte.errors import UsageError
from pancyte.metrics.metric import AdditiveMetric, metric

EXPECTED = {
    "accuracy",
    "ari",
    "asw_batch",
    "asw_label",
    "batch_mixing",
    "ece",
    "knn_purity",
    "macro_f1",
    "nmi",
    "total",
}


def test_the_built_in_metrics_come_through_the_same_door_as_plug_ins():
    assert set(registry.names("metrics")) >= EXPECTED
    for name in EXPECTED:
        found = registry.get("metrics", name)
        assert found.name == name
        assert found.best != found.worst
        assert found.source
        assert found.needs
        assert found.__doc__


def test_a_plug_in_metric_is_one_decorated_function():
    @metric(worst=2.0, best=0.0, source="here")
    def gap(y_true, y_pred, *, scale=1.0):
        """Mean distance."""
        return scale * np.abs(y_true - y_pred).mean()

    assert gap(np.array([1.0, 2.0]), np.array([1.0, 4.0])) == 1.0
    assert (gap.needs, gap.sign) == (("y_true", "y_pred"), -1)
    assert gap.score({"y_true": np.ones(2), "y_pred": np.zeros(2), "other": 3, "scale": 2.0}) == 2
    assert not isinstance(gap, AdditiveMetric)
    with pytest.raises(UsageError, match="'gap' needs y_pred; it was given y_true"):
        gap.score({"y_true": np.ones(2)})
