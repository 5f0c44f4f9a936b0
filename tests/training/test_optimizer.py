import pytest
import torch
from torch import nn

from pancyte.errors import MissingError
from pancyte.training.log import LOSS
from pancyte.training.optimizer import divided, muon
from pancyte.training.pretrain import pretrain


def test_muon_has_the_matrices_and_adamw_the_rest():
    parts = [nn.Embedding(9, 4), nn.Linear(4, 4), nn.Linear(1, 4)]
    optimizer = muon(parts, rate=0.1, decay=0.2)
    inside, rest = optimizer.parts
    assert [p.shape for p in inside.param_groups[0]["params"]] == [(4, 4)]
    of_adam = [p.shape for group in rest.param_groups for p in group["params"]]
    assert of_adam == [(4, 1), (9, 4), (4,), (4,)]
    matrices, others = divided(parts)
    assert len(matrices) + len(others) == 5


def test_muon_moves_a_matrix_by_an_orthogonal_step():
    layer = nn.Linear(16, 16, bias=False)
    before = layer.weight.detach().clone()
    optimizer = muon([layer, nn.Embedding(2, 2)], rate=0.1, decay=0.0)
    layer(torch.randn(8, 16, generator=torch.Generator().manual_seed(0))).square().sum().backward()
    optimizer.step()
    step = layer.weight.detach() - before
    singular = torch.linalg.svdvals(step)[:8] / (0.1 * 0.2 * 4)
    assert singular.min() > 0.6
    assert singular.max() < 1.3


def test_a_run_with_muon_goes_on_exactly(small, tmp_path):
    run = small(optimizer="muon")
    pretrain(run, tmp_path / "whole")

    def stop(progress):
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(run, tmp_path / "model", report=stop)
    pretrain(run, tmp_path / "model")
    for name in (f"model.run/{LOSS}", "model/model.safetensors"):
        whole = tmp_path / name.replace("model", "whole", 1)
        assert (tmp_path / name).read_bytes() == whole.read_bytes()


def test_a_torch_without_muon_says_so(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(MissingError, match="has no Muon"):
        muon([nn.Linear(2, 2)], rate=0.1, decay=0.0)


def test_recomputing_changes_nothing(small, tmp_path):
    one, two = (
        pretrain(small(), tmp_path / "one"),
        pretrain(small(recompute=True), tmp_path / "two"),
    )
    assert one.fingerprint() == two.fingerprint()
    assert "forward" not in vars(two.backbone.layers[0])
