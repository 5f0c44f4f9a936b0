"""Evidence of an integration: over-correction is seen on real, confounded cells."""

import numpy as np
import pytest

from pancyte.corpus.cells import column, to_cells
from pancyte.deciding.integration import Evidence, Loss, choose, weigh
from pancyte.errors import InputError
from pancyte.tasks.baselines import PCA
from pancyte.tasks.matched import Matched, Standardised

ALPHA, BETA, DELTA = "pancreatic A cell", "type B pancreatic cell", "pancreatic D cell"


@pytest.fixture(scope="module")
def confounded(pancreas):
    """Two studies share delta cells; alpha cells are in one only, beta cells in the other."""
    study, label = pancreas.obs["study"], pancreas.obs["cell_type"]
    kept = ((study == "Fasolino 2022") & label.isin([ALPHA, DELTA])) | (
        (study == "Tritschler 2022") & label.isin([BETA, DELTA])
    )
    return to_cells(pancreas[kept.to_numpy()].copy())


@pytest.fixture(scope="module")
def embeddings(confounded) -> dict[str, np.ndarray]:
    methods = [PCA(), Matched(), Standardised()]
    return {m.name: m.embed(confounded, batch_key="study", seed=0)[0] for m in methods}


@pytest.fixture(scope="module")
def found(confounded, embeddings) -> dict[str, Evidence]:
    labels, studies = column(confounded, "cell_type"), column(confounded, "study")
    return {e.method: e for e in weigh(embeddings, embeddings["pca"], studies, labels)}


def test_a_type_of_one_batch_laid_over_another_type_is_seen(found):
    for name in ("matched", "standardised"):
        (loss,) = found[name].overcorrected
        assert (loss.group, loss.batches) == (ALPHA, ("Fasolino 2022",))
        assert loss.after < loss.before - 0.2
        assert "only in Fasolino 2022" in found[name].row()["lost"][0]
    assert not found["pca"].lost


def test_the_total_alone_would_have_been_fooled_but_the_choice_is_not(found):
    assert found["standardised"].total.mean() > found["pca"].total.mean()
    chosen, why = choose(list(found.values()))
    assert chosen.method == "pca"
    assert "over-corrected: standardised" in why


def test_biology_and_batch_are_always_there_together(found, confounded, embeddings):
    studies = column(confounded, "study")
    without = weigh(embeddings, embeddings["pca"], studies)
    for one in [*found.values(), *without]:
        row = one.row()
        assert {"biology", "batch", "total", "biology_sd", "batch_sd"} <= row.keys()
        assert row["total"] == pytest.approx(0.6 * row["biology"] + 0.4 * row["batch"], abs=1e-3)


def test_without_labels_shuffled_cells_lose_their_clusters(confounded, embeddings):
    studies = column(confounded, "study")
    plain = embeddings["pca"]
    mixed = plain[np.random.default_rng(0).permutation(len(plain))]
    kept, lost = weigh({"pca": plain, "mixed": mixed}, plain, studies)
    assert kept.scores["clusters_kept"] > 0.8 > 0.5 > lost.scores["clusters_kept"]
    assert lost.overcorrected
    assert not kept.lost


def test_nothing_shared_between_batches_is_refused(confounded, embeddings):
    labels = column(confounded, "cell_type")
    with pytest.raises(InputError, match="None of the 3 cell types occurs in two batches"):
        weigh(embeddings, embeddings["pca"], labels, labels)


def evidence(name: str, biology: float, batch: float, *, lost: bool = False) -> Evidence:
    noise = 0.01 * np.array([-2, -1, 0, 1, 2])
    losses = (Loss("alpha", ("a",), 0.9, 0.3),) if lost else ()
    return Evidence(name, biology + noise, batch + noise[::-1], {}, losses)


def test_no_integration_stands_unless_beaten_by_more_than_chance():
    plain = evidence("pca", 0.7, 0.5)
    assert choose([plain, evidence("close", 0.7, 0.5)])[0] is plain
    better = evidence("better", 0.7, 0.7)
    assert choose([plain, better])[0] is better
    assert choose([plain, better, evidence("best", 0.8, 0.9, lost=True)])[0] is better
    ruined = [evidence("pca", 0.7, 0.5, lost=True), evidence("x", 0.8, 0.5, lost=True)]
    chosen, why = choose(ruined)
    assert chosen is ruined[0]
    assert "every method" in why
