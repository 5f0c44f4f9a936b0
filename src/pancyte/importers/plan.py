"""What would be loaded from a published model's folder, key by key, before anything is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from pancyte.errors import IntegrityError

SHOWN = 12


@dataclass(frozen=True)
class Weight:
    """One weight of the network, and the keys of the checkpoint that it is made of.

    Attributes
    ----------
    ours
        Its name here, such as ``backbone.layers.0.qkv.weight``.
    theirs
        The checkpoint's names; several are stacked in this order.
    rows
        Which rows to take, in which order; None takes all. A single number takes one row away
        from its table.
    """

    ours: str
    theirs: tuple[str, ...]
    rows: np.ndarray | int | None = None


@dataclass(frozen=True)
class KeyPlan:
    """What loading a folder would do; `refusal` says why it would be refused.

    Attributes
    ----------
    importer, model
        Which importer recognised the folder, and as what.
    facts
        Vocabulary and its version, tokenizer, network, embedding, files.
    matched
        Keys taken over as they are: theirs → ours.
    reshaped
        Keys stacked, or cut into rows: theirs → what becomes of them.
    missing
        Keys that the network needs and the checkpoint lacks, or has in another shape.
    unused
        Keys of the checkpoint that have no place in the network.
    ignored
        Keys that are known to change nothing, each with the reason.
    """

    importer: str
    model: str
    facts: dict[str, str]
    matched: dict[str, str] = field(default_factory=dict)
    reshaped: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        wanted: Sequence[Weight],
        shapes: Mapping[str, Sequence[int]],
        found: Mapping[str, Sequence[int]],
        *,
        ignored: Mapping[str, str],
        **who: Any,
    ) -> KeyPlan:
        """Compare what the network needs with what a checkpoint has.

        Parameters
        ----------
        wanted
            What the network needs.
        shapes
            Shape of each of the network's weights.
        found
            Shape of each of the checkpoint's.
        ignored
            Patterns of keys that change nothing, with the reason.
        who
            `importer`, `model` and `facts`.
        """
        plan = cls(**who)
        for weight in wanted:
            have = [tuple(found[name]) for name in weight.theirs if name in found]
            for name in weight.theirs:
                if name not in found:
                    plan.missing[name] = f"absent; {weight.ours} needs it"
            expected = tuple(shapes[weight.ours])
            if len(have) == len(weight.theirs) and _made(have, weight.rows) != expected:
                said = " and ".join(map(str, have))
                wrong = f"{said}, not what gives {expected}"
                plan.missing.update(dict.fromkeys(weight.theirs, wrong))
        for weight in wanted:
            if any(name in plan.missing for name in weight.theirs):
                continue
            if len(weight.theirs) == 1 and weight.rows is None:
                plan.matched[weight.theirs[0]] = weight.ours
                continue
            for name in weight.theirs:
                did = _said(weight, name, found[name])
                plan.reshaped[name] = "; ".join(filter(None, [plan.reshaped.get(name), did]))
        used = {name for weight in wanted for name in weight.theirs}
        for name in sorted(found.keys() - used):
            reasons = [why for pattern, why in ignored.items() if fnmatchcase(name, pattern)]
            if reasons:
                plan.ignored[name] = reasons[0]
            else:
                plan.unused.append(name)
        return plan

    def check(self, *, allow_missing: Sequence[str] = (), allow_unused: Sequence[str] = ()) -> None:
        """Refuse a partial load, unless each missing and unused key is allowed by name.

        Parameters
        ----------
        allow_missing, allow_unused
            Keys, or patterns such as ``"cls.predictions.*"``.

        Raises
        ------
        IntegrityError
            With the keys that are not allowed.
        """
        missing = _not_allowed(self.missing, allow_missing)
        unused = _not_allowed(self.unused, allow_unused)
        if not missing and not unused:
            return
        parts = [
            f"{len(names)} {word}: {_list(names)}"
            for names, word in ((missing, "missing"), (unused, "unused"))
            if names
        ]
        raise IntegrityError(
            f"{self.facts.get('folder', 'The folder')} would be loaded in part only: "
            f"{'; '.join(parts)}.",
            fix="See the plan (pancyte convert FOLDER --dry-run). What you can do without, allow "
            "by name: allow_missing=[…], allow_unused=[…] (--allow-missing, --allow-unused).",
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Say it for people, the first keys of each kind."""
        head = [f"{self.model} (importer {self.importer})"]
        facts = [f"  {name:<12} {value}" for name, value in self.facts.items()]
        ways = {
            "matched": [f"{theirs} → {ours}" for theirs, ours in self.matched.items()],
            "reshaped": [f"{theirs} → {what}" for theirs, what in self.reshaped.items()],
            "missing": [f"{theirs}: {what}" for theirs, what in self.missing.items()],
            "unused": self.unused,
            "ignored": [f"{theirs}: {why}" for theirs, why in self.ignored.items()],
        }
        keys = [
            line
            for way, items in ways.items()
            for line in [f"  {way:<12} {len(items)}", *_first(items, f"{'':14}")]
        ]
        return [*head, *facts, *keys]


def pair(ours: str, theirs: str) -> list[Weight]:
    """List the weight and the bias of a part that is taken over as it is."""
    return stacked(ours, [theirs])


def stacked(ours: str, theirs: Sequence[str]) -> list[Weight]:
    """List the weight and the bias of a part that is made of several, one above the other."""
    return [
        Weight(f"{ours}.{end}", tuple(f"{part}.{end}" for part in theirs))
        for end in ("weight", "bias")
    ]


def encoder_layer(ours: str, theirs: str) -> list[Weight]:
    """List the weights of one ``torch.nn.TransformerEncoderLayer``."""
    parts = {
        "out": "self_attn.out_proj",
        "expand": "linear1",
        "contract": "linear2",
        "norm_attention": "norm1",
        "norm_forward": "norm2",
    }
    qkv = [
        Weight(f"{ours}.qkv.{end}", (f"{theirs}.self_attn.in_proj_{end}",))
        for end in ("weight", "bias")
    ]
    return qkv + [
        weight
        for mine, other in parts.items()
        for weight in pair(f"{ours}.{mine}", f"{theirs}.{other}")
    ]


def rename(names: Iterable[str], change: Callable[[str], str]) -> dict[str, str]:
    """Map each key's usual name to the name it has in the file.

    Raises
    ------
    IntegrityError
        If two keys would get the same name.
    """
    found: dict[str, str] = {}
    for name in names:
        usual = change(name)
        if usual in found:
            raise IntegrityError(
                f"The checkpoint has {usual} twice: as {found[usual]} and as {name}.",
                fix="Fetch the model again.",
            )
        found[usual] = name
    return found


def _made(have: list[tuple[int, ...]], rows: np.ndarray | int | None) -> tuple[int, ...]:
    """Say which shape stacking and choosing rows gives."""
    if any(shape[1:] != have[0][1:] for shape in have):
        return ()
    total = (sum(shape[0] for shape in have), *have[0][1:]) if len(have) > 1 else have[0]
    if rows is None:
        return total
    if np.size(rows) and np.max(rows) >= total[0]:
        return ()
    return total[1:] if isinstance(rows, int) else (len(rows), *total[1:])


def _said(weight: Weight, name: str, shape: Sequence[int]) -> str:
    if len(weight.theirs) > 1:
        place = weight.theirs.index(name) + 1
        return f"part {place} of {len(weight.theirs)} of {weight.ours}"
    if isinstance(weight.rows, int):
        return f"row {weight.rows} to {weight.ours}"
    count = 0 if weight.rows is None else len(weight.rows)
    return f"{count:,} of {shape[0]:,} rows to {weight.ours}"


def _not_allowed(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    return [n for n in names if not any(fnmatchcase(n, pattern) for pattern in patterns)]


def _list(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _first(items: list[str], indent: str) -> list[str]:
    more = [f"{indent}… {len(items) - SHOWN:,} more"] if len(items) > SHOWN else []
    return [*(f"{indent}{item}" for item in items[:SHOWN]), *more]
