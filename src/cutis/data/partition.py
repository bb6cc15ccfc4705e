"""How groups of photos are found and dealt out to parts; pure functions of tables and a seed."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def group_names(image_ids: Sequence[str], links: pd.DataFrame) -> pd.Series:
    """The group of every photo: the smallest image_id that links lead to, directly or not.

    Indexed by image_id. Links to photos that are not listed are ignored.
    """
    ordered = pd.Index(sorted(set(image_ids)))
    a = ordered.get_indexer(pd.Index(links["image_id_a"]))
    b = ordered.get_indexer(pd.Index(links["image_id_b"]))
    inside = (a >= 0) & (b >= 0)
    edges = (np.ones(int(inside.sum()), np.int8), (a[inside], b[inside]))
    graph = coo_array(edges, shape=(len(ordered), len(ordered)))
    _, component = connected_components(graph, directed=False)
    names = pd.Series(ordered, index=ordered)
    return names.groupby(component).transform("first")


def in_groups_of(rows: pd.DataFrame, photos: pd.DataFrame, links: pd.DataFrame) -> pd.Series:
    """Which rows belong together with one of the photos, directly or not, or are one of them.

    Args:
        rows, photos: of one catalog, with `image_id`.
        links: of the same catalog.
    """
    ids = pd.concat([rows["image_id"], photos["image_id"], links["image_id_a"]])
    groups = group_names([*ids, *links["image_id_b"]], links)
    return rows["image_id"].map(groups).isin(groups[photos["image_id"]])


def deal(rows: pd.DataFrame, shares: Sequence[float], seed: int) -> NDArray[np.intp]:
    """The part (0 … len(shares) - 1) of every photo; whole groups only.

    Args:
        rows: a row a photo with `group`, `diagnosis` and `source`.
        shares: the parts' sizes, positive, in any unit.
        seed: decides among groups of the same source and size; the order of rows plays no role.

    Groups are dealt source by source, from the largest to the smallest, each to the part that lags
    furthest behind its share of the group's diagnoses (the divisor method of Sainte-Laguë). Any
    stretch of that order is then shared out in proportion, so a part gets its share of every
    source and of large and small groups. Diagnoses that missed a part get a group there at the
    end, as far as they have enough groups.
    """
    table = pd.crosstab(rows["group"], rows["diagnosis"])
    counts = table.to_numpy(np.float64)
    order = _dealing_order(rows, table, seed)
    weights = np.asarray(shares, np.float64) / np.sum(shares)
    targets = np.outer(weights, counts.sum(axis=0))
    dealt = np.zeros_like(targets)
    part = np.zeros(len(counts), np.intp)
    for row in order:
        held = np.flatnonzero(counts[row])
        own = counts[row, held]
        lag = ((dealt[:, held] + own / 2) / targets[:, held]) @ own
        whole = dealt.sum(axis=1) / weights
        # Rounding lets the smaller part win where only floating point tells two parts apart.
        part[row] = np.lexsort((whole, np.round(lag, 9)))[0]
        dealt[part[row]] += counts[row]
    _fill_gaps(part, counts, weights, order)
    return part[table.index.get_indexer(pd.Index(rows["group"]))]


def _dealing_order(rows: pd.DataFrame, table: pd.DataFrame, seed: int) -> NDArray[np.intp]:
    sources = rows.groupby("group")["source"].agg(lambda names: "\n".join(sorted(set(names))))
    chance = np.random.default_rng(seed).permutation(len(table))
    source, _ = pd.factorize(sources[table.index], sort=True)
    return np.lexsort((chance, -table.sum(axis=1), source))


def _fill_gaps(
    part: NDArray[np.intp],
    counts: NDArray[np.float64],
    weights: NDArray[np.float64],
    order: NDArray[np.intp],
) -> None:
    """Moves groups, in place, until every part has one of each diagnosis with enough groups.

    Rare diagnoses first; the largest part is served before the last (the test part), then the
    others. A group comes from the part that has most groups of the diagnosis, the smallest one
    whose going leaves no diagnosis of its part empty.
    """
    has = counts > 0
    parts = range(len(weights))
    by_need = sorted(parts, key=lambda p: (p != int(np.argmax(weights)), -p))
    for diagnosis in np.argsort(has.sum(axis=0), kind="stable"):
        for needy in by_need:
            held = np.array([has[part == p].sum(axis=0) for p in parts])
            if held[needy, diagnosis]:
                continue
            spare = [
                row
                for row in order
                if has[row, diagnosis] and (held[part[row]][has[row]] > 1).all()
            ]
            if spare:
                moved = min(spare, key=lambda row: (-held[part[row], diagnosis], counts[row].sum()))
                part[moved] = needy
