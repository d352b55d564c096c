"""The fresh episodes of a group's lanes, one by one: what rates, tails and distributions are computed from."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from espo_jax.evaluation import POLICIES, Episodes
from espo_jax.sweeps import columns
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.manifest import Group

EPISODES = "episodes.parquet"


def write(folder: SweepFolder, group: Group, ids: Sequence[str], episodes: Mapping[str, Episodes]) -> None:
    """Write one row for each episode: lane, policy, reward, cost (with several constraints cost_1, ...), length.

    Args:
      folder: folder of the sweep.
      group: the group.
      ids: names of its n lanes.
      episodes: by policy: reward [n, E], cost [n, E, K], length [n, E]; without any, no file is written.
    """
    if not episodes:
        return
    tables = []
    for policy, each in episodes.items():
        lanes, count = each.reward.shape
        data = {
            columns.LANE: pa.array(np.repeat(np.array(ids, object), count), pa.string()).dictionary_encode(),
            "policy": pa.array([policy] * (lanes * count), pa.string()).dictionary_encode(),
            "reward": np.asarray(each.reward).ravel(),
        }
        costs = np.asarray(each.cost).reshape(lanes * count, -1)
        names = columns.names_of("cost", costs.shape[1])
        data |= dict(zip(names, costs.T, strict=True))
        tables.append(pa.table({**data, "length": np.asarray(each.length).ravel()}))
    columns.write(pa.concat_tables(tables).unify_dictionaries(), folder.group_path(group) / EPISODES)


def read(folder: SweepFolder, group: Group) -> dict[str, dict[str, Episodes]]:
    """The fresh episodes of a group's lanes: lane -> policy -> Episodes. Earlier versions wrote none.

    Raises:
      DamagedError: the file cannot be read.
    """
    path = folder.group_path(group) / EPISODES
    if not path.exists():
        return {}
    table = columns.read([path])
    names = [name for name in table.column_names if name == "cost" or name.startswith("cost_")]
    cost = np.stack([table[name].to_numpy() for name in names], axis=1)
    reward, length = table["reward"].to_numpy(), table["length"].to_numpy()
    lanes, lane_of = np.unique(np.asarray(table[columns.LANE].to_pylist()), return_inverse=True)
    is_of = {policy: np.asarray(table["policy"].to_pylist()) == policy for policy in POLICIES}
    found: dict[str, dict[str, Episodes]] = {}
    for place, lane in enumerate(lanes.tolist()):
        chosen = {policy: (lane_of == place) & rows for policy, rows in is_of.items()}
        found[lane] = {policy: Episodes(reward[k], cost[k], length[k]) for policy, k in chosen.items() if k.any()}
    return found
