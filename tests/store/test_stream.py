"""Every cell once an epoch, in an order that the seed decides and nothing else."""

from collections import Counter

import numpy as np
import pytest

from pancyte.corpus.cells import to_cells
from pancyte.errors import InputError, UsageError
from pancyte.store.corpus import Corpus
from pancyte.store.order import Shuffle, by_number, by_tokens
from pancyte.store.stream import Stream, select


def _places(stream, epoch=0):
    return [
        (int(part), int(row))
        for parts, rows in stream.places(epoch)
        for part, row in zip(parts, rows, strict=True)
    ]


def _lengths(corpus):
    return [np.diff(part.offsets) for part in corpus.parts]


def _all(corpus):
    return [(p, row) for p, part in enumerate(corpus.parts) for row in range(len(part))]


@pytest.mark.parametrize(("block", "window"), [(1, 7), (16, 4), (64, 256)])
def test_an_epoch_has_each_cell_once(corpus, block, window):
    stream = Stream(corpus, cut=by_number(32), shuffle=Shuffle(block=block, window=window))
    assert sorted(_places(stream)) == _all(corpus)


def test_cells_of_a_minibatch_stand_as_in_the_files_and_come_from_one_window(corpus):
    """Four blocks of 16 fill a minibatch of 64, whose cells are whole blocks but for the ends."""
    stream = Stream(corpus, cut=by_number(64), shuffle=Shuffle(block=16, window=4))
    first = []
    for parts, rows in stream.places(0):
        places = list(zip(parts.tolist(), rows.tolist(), strict=True))
        assert places == sorted(places)
        assert len({(part, row // 16) for part, row in places}) <= 4
        first.append(places[0])
    assert first != sorted(first)


def test_the_rows_are_those_of_the_files(corpus):
    counts = [slab for _, slab in corpus.slabs(10_000)]
    for tokens in Stream(corpus, cut=by_number(50)).epoch(3):
        found = tokens.counts(len(corpus.features))
        assert found.has_sorted_indices
        for at in (0, len(tokens) - 1):
            wanted = counts[tokens.parts[at]][tokens.rows[at]]
            assert (found[at] != wanted).nnz == 0
            assert tokens.totals[at] == wanted.sum()


def test_seed_and_epoch_decide_the_order(corpus):
    def places(seed, epoch):
        return _places(Stream(corpus, shuffle=Shuffle(seed)), epoch)

    known = places(1, 2)
    assert places(1, 2) == known
    assert places(1, 3) != known
    assert places(2, 2) != known


def test_a_stopped_epoch_goes_on(corpus):
    stream = Stream(corpus, cut=by_tokens(_lengths(corpus), 30_000))
    whole = [tokens.rows.tolist() for tokens in stream.epoch(1)]
    for start in (1, len(whole) // 2, len(whole)):
        assert [tokens.rows.tolist() for tokens in stream.epoch(1, start=start)] == whole[start:]


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_the_same_minibatches(corpus, world):
    alone = [
        {(p, r) for p, r in zip(t.parts, t.rows, strict=True)} for t in Stream(corpus).epoch(0)
    ]
    ranks = [list(Stream(corpus, share=(rank, world)).epoch(0)) for rank in range(world)]
    assert {len(rank) for rank in ranks} == {len(alone)}
    for number, wanted in enumerate(alone):
        shares = [set(zip(rank[number].parts, rank[number].rows, strict=True)) for rank in ranks]
        assert set().union(*shares) == wanted
        assert sum(map(len, shares)) == len(wanted)


def test_weights_repeat_blocks(corpus):
    stream = Stream(corpus, weights={"Muraro": 2.5, "Fasolino": 0}, shuffle=Shuffle(block=8))
    number = {part.name: at for at, part in enumerate(corpus.parts)}
    size = len(corpus.parts[number["Muraro"]])
    seen = Counter(_places(stream))
    muraro = [seen[number["Muraro"], row] for row in range(size)]
    assert set(muraro) == {2, 3}
    assert abs(sum(muraro) / size - 2.5) < 8 / size + 0.01
    assert not any(part == number["Fasolino"] for part, _ in seen)
    assert {row for (p, row), n in Counter(_places(stream, 1)).items() if n == 3} != {
        row for (p, row), n in seen.items() if n == 3
    }
    with pytest.raises(UsageError, match="no dataset 'nix'"):
        Stream(corpus, weights={"nix": 1})


def test_filters_keep_the_wanted_cells(corpus, capsys):
    ductal = {"cell_type": ["pancreatic ductal cell"]}
    kept = _places(Stream(corpus, rows=select(corpus, keep=ductal)))
    left = _places(Stream(corpus, rows=select(corpus, without=ductal)))
    assert sorted(kept + left) == _all(corpus)
    types = {corpus.parts[p].column("cell_type").iloc[row] for p, row in kept}
    assert types == {"pancreatic ductal cell"}
    with pytest.raises(InputError, match="No cell"):
        Stream(corpus, rows=select(corpus, keep={"nix": ["x"]}))
    assert "no column 'nix'" in capsys.readouterr().err


def test_minibatches_of_tokens_fit_and_are_of_similar_length(corpus):
    budget = 20_000
    stream = Stream(corpus, cut=by_tokens(_lengths(corpus), budget))
    cells = np.concatenate(_lengths(corpus)).mean()
    waste = {"sorted": [], "as they come": []}
    for tokens in stream.epoch(0):
        lengths = np.diff(tokens.offsets)
        padded = len(lengths) * (lengths.max() + 1)
        assert padded <= budget
        waste["sorted"].append(1 - lengths.sum() / padded)
    for tokens in Stream(corpus, cut=by_number(int(budget / cells))).epoch(0):
        lengths = np.diff(tokens.offsets)
        waste["as they come"].append(1 - lengths.mean() / lengths.max())
    assert np.mean(waste["sorted"]) < 0.4 * np.mean(waste["as they come"])
    assert sorted(_places(stream)) == _all(corpus)


def test_blocks_are_mixed_like_single_cells(corpus):
    """Types within a minibatch are as mixed as in a full shuffle: entropy within 5 %."""

    def entropy(block):
        found = []
        for tokens in Stream(corpus, cut=by_number(64), shuffle=Shuffle(3, block)).epoch(0):
            types = [
                corpus.parts[p].column("cell_type").iloc[r]
                for p, r in zip(tokens.parts, tokens.rows, strict=True)
            ]
            share = np.array(list(Counter(types).values())) / len(types)
            found.append(-(share * np.log(share)).sum())
        return np.mean(found)

    assert entropy(16) > 0.95 * entropy(1)


def test_memory_and_disk_give_the_same(corpus, studies):
    from pancyte.corpus.read import read

    sets = [to_cells(read(path, quiet=True), name=name) for name, path in studies.items()]
    inside = Corpus.of(*sets)
    assert inside.features.equals(corpus.features)
    for a, b in zip(Stream(inside).epoch(0), Stream(corpus).epoch(0), strict=True):
        assert np.array_equal(a.ids, b.ids)
        assert np.array_equal(a.values, b.values)
    assert [part.about["content_hash"] for part in inside.parts] == [
        part.about["content_hash"] for part in corpus.parts
    ]


def test_other_columns_stand_for_the_features(corpus):
    halves = [columns // 2 for columns in corpus.columns]
    plain, other = Stream(corpus), Stream(corpus, columns=halves)
    for a, b in zip(plain.epoch(0), other.epoch(0), strict=True):
        assert np.array_equal(a.ids // 2, b.ids)


def test_a_dataset_can_be_held_out_by_name(corpus):
    left = _places(Stream(corpus, rows=select(corpus, without={"dataset": ["Muraro"]})))
    names = {corpus.parts[part].name for part, _ in left}
    assert names == {"Fasolino", "Tritschler"}


def test_mouse_genes_take_the_place_of_their_orthologs(data_dir):
    paths = [
        data_dir / f"baron_pancreas_human_mouse/baron_{kind}.h5ad" for kind in ("human", "mouse")
    ]
    if not all(path.exists() for path in paths):
        pytest.skip("needs the two Baron datasets")
    from pancyte.corpus.read import read

    sets = [to_cells(read(path, quiet=True)[::20].copy(), name=path.stem) for path in paths]
    parts = Corpus.of(*sets).parts
    apart, joined = Corpus(parts), Corpus(parts, orthologs=True)
    assert len(joined.features) < len(apart.features) - 10_000
    mouse = joined.features.index[joined.columns[1]]
    assert mouse.str.startswith("ENSG0").mean() > 0.8
    for tokens in Stream(joined).epoch(0):
        inside = np.ones(len(tokens.ids) - 1, bool)
        inside[tokens.offsets[1:-1] - 1] = False
        assert (np.diff(tokens.ids)[inside] > 0).all()
    insulin = joined.features.index.get_loc("ENSG00000254647")
    assert joined.features["symbol"].iloc[insulin] == "INS"
    glucagon = joined.to_anndata(["baron_mouse"])[:, "ENSG00000115263"].X
    assert glucagon.sum() > 100


def test_a_rank_outside_the_world_is_refused(corpus):
    with pytest.raises(UsageError, match="no rank 2"):
        Stream(corpus, share=(2, 2))
