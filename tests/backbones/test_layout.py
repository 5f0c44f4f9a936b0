"""Every kernel computes what padded attention computes; which one is used depends on the device."""

import pytest
import torch

from pancyte.backbones.attention import Apart, Asking, Padding
from pancyte.backbones.flexible import Flexible, seeing
from pancyte.backbones.layout import choose, lay_out
from pancyte.backbones.packed import Packed

BF16, FP32, AMPERE = torch.bfloat16, torch.float32, (8, 0)
OFFSETS = torch.tensor([0, 5, 6, 40, 57])
VISIBLE = torch.tensor([3] * 5 + [1] + [20] * 34 + list(range(17)))
needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() < AMPERE,
    reason="needs a GPU, Ampere or later",
)


@pytest.mark.parametrize(
    ("precision", "head", "masked", "capability", "kind"),
    [
        (FP32, 64, False, (9, 0), Padding),
        (BF16, 64, False, (7, 5), Padding),
        (BF16, 64, False, (9, 0), Packed),
        (torch.float16, 128, False, AMPERE, Packed),
        (BF16, 12, False, (9, 0), Padding),
        (BF16, 64, True, (9, 0), Flexible),
        (BF16, 48, True, (9, 0), Padding),
    ],
)
def test_which_kernel(precision, head, masked, capability, kind):
    assert choose(precision, head, masked, capability) is kind


@pytest.mark.parametrize("visible", [None, VISIBLE])
def test_a_cpu_takes_cell_after_cell(visible):
    assert isinstance(lay_out(OFFSETS, visible, torch.zeros(57, 32), heads=2), Apart)


def test_packed_bounds_are_the_offsets():
    packed = Packed.of(OFFSETS)
    assert packed.bounds.tolist() == OFFSETS.tolist()
    assert packed.bounds.dtype == torch.int32
    assert packed.longest == 34


@pytest.mark.parametrize("visible", [None, VISIBLE])
def test_flexible_rows_see_what_padded_ones_see(visible):
    rows = torch.arange(57)
    sees = seeing(OFFSETS, visible)
    given = sees(rows[:1], rows[:1], rows[:, None], rows[None, :])
    padding = Padding.of(OFFSETS, visible)
    cells, longest = padding.cells, padding.longest
    dense = torch.zeros(cells * longest, cells * longest, dtype=torch.bool)
    mask = padding.mask.expand(cells, 1, longest, longest)
    for cell in range(cells):
        block = slice(cell * longest, (cell + 1) * longest)
        dense[block, block] = mask[cell, 0]
    assert torch.equal(given, dense[padding.places][:, padding.places])


def three(width, generator=None):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(57, width, generator=generator) for _ in range(3)]


@pytest.mark.parametrize("visible", [None, VISIBLE])
def test_cell_after_cell_is_padded_attention(visible):
    told = {}
    for kind in (Padding, Apart):
        rows = [r.requires_grad_() for r in three(32)]
        mixed = kind.of(OFFSETS, visible).mix(*rows, 2)
        mixed.square().sum().backward()
        told[kind] = [mixed, *(r.grad for r in rows)]
    for one, two in zip(told[Padding], told[Apart], strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("visible", [None, VISIBLE])
@pytest.mark.parametrize("kind", [Padding, Apart, Flexible])
def test_some_rows_may_ask_alone(kind, visible):
    query, key, value = three(32)
    layout = kind.of(OFFSETS, visible)
    asking = Asking.of(torch.tensor([50, 3, 4, 7]), OFFSETS)
    given = asking.mix(query[asking.rows], key, value, layout, 2)
    torch.testing.assert_close(given, layout.mix(query, key, value, 2)[asking.rows])


def test_other_rows_than_the_cells_own_may_ask():
    query, key, value = three(32)
    bounds = torch.tensor([0, 2, 2, 5, 9])
    given = Apart.of(OFFSETS).mix(query[:9], key, value, 2, bounds=bounds)
    torch.testing.assert_close(
        given, Padding.of(OFFSETS).mix(query[:9], key, value, 2, bounds=bounds)
    )


def test_nothing_to_see_is_zero():
    offsets, bounds = torch.tensor([0, 0, 2]), torch.tensor([0, 1, 2])
    rows = torch.ones(2, 8)
    given = Apart.of(offsets).mix(rows, rows, rows, 2, bounds=bounds)
    assert torch.equal(given, torch.tensor([[0.0], [1.0]]).expand(2, 8))
    assert Apart.of(torch.tensor([0, 0])).mix(rows[:0], rows[:0], rows[:0], 2).shape == (0, 8)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("visible", [None, VISIBLE])
def test_flexible_attention_is_padded_attention(visible):
    rows = three(32)
    given = Flexible.of(OFFSETS, visible).mix(*rows, 2)
    torch.testing.assert_close(given, Padding.of(OFFSETS, visible).mix(*rows, 2))


@needs_gpu
@pytest.mark.parametrize("visible", [None, VISIBLE])
def test_on_a_gpu_values_and_gradients_are_those_of_padded_attention(visible):
    kinds = [Padding, Flexible, *([Packed] if visible is None else [])]
    told = {}
    for kind in kinds:
        rows = [r.cuda().to(BF16).requires_grad_() for r in three(128)]
        seen = None if visible is None else visible.cuda()
        mixed = kind.of(OFFSETS.cuda(), seen).mix(*rows, 2)
        mixed.float().square().sum().backward()
        told[kind] = [mixed, *(r.grad for r in rows)]
    for kind in kinds[1:]:
        for one, two in zip(told[Padding], told[kind], strict=True):
            torch.testing.assert_close(one.float(), two.float(), rtol=2e-2, atol=2e-2)


@needs_gpu
def test_on_a_gpu_some_rows_may_ask_alone():
    query, key, value = (r.cuda().to(BF16) for r in three(128))
    layout = Packed.of(OFFSETS.cuda())
    asking = Asking.of(torch.tensor([50, 3, 4, 7]).cuda(), OFFSETS.cuda())
    given = asking.mix(query[asking.rows], key, value, layout, 2)
    wanted = layout.mix(query, key, value, 2)[asking.rows]
    torch.testing.assert_close(given.float(), wanted.float(), rtol=2e-2, atol=2e-2)
