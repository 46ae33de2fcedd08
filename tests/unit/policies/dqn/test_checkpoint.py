from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from policies.dqn.checkpoint import SHIPPED, CheckpointError, read_checkpoint, write_checkpoint
from tests.unit.policies.dqn.networks import checkpoint


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "some" / "net.safetensors"
    write_checkpoint(checkpoint(path, training={"decisions": 7, "command": "headway train"}))
    return path


def test_what_is_written_is_read(file: Path) -> None:
    read, written = read_checkpoint(file), checkpoint(file)
    assert (read.path, read.hidden, read.dueling, read.without) == (file, 8, True, ())
    assert all((read.parameters[name] == values).all() for name, values in written.parameters.items())
    assert (read.training["decisions"], read.training["schema"]) == (7, 2)
    assert read.training["features"]["request"][0] == "slack"
    assert sorted(path.name for path in file.parent.iterdir()) == ["net.json", "net.safetensors"]


def test_what_it_was_trained_without_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    write_checkpoint(checkpoint(path, dueling=False, later_weight=0.25, without=("rate",)))
    read = read_checkpoint(str(path))
    assert (read.dueling, read.later_weight, read.without) == (False, 0.25, ("rate",))


def test_without_a_weight_for_what_comes_after_it_counts_whole(file: Path) -> None:
    change(file, network={"hidden": 8, "dueling": True, "chance": True})
    assert read_checkpoint(file).later_weight == 1.0


def change(file: Path, **values: object) -> None:
    path = file.with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"format": 9}, r"net.json: format 9, this version reads 1"),
        ({"schema": 1}, r"net.json: trained on features of schema 1, this version has 2; train it anew"),
        (
            {"network": {"hidden": 16, "dueling": True, "chance": True}},
            r"of_request.weight is float32 of shape \(8, 17\); float32 of",
        ),
        (
            {"network": {"hidden": 8, "dueling": True, "chance": True, "later_weight": float("nan")}},
            r"net.json: later_weight is nan, and may be 0 to 1",
        ),
        ({"network": {}}, r"network needs hidden, dueling and chance"),
        ({"network": 3}, r"not the sidecar of a checkpoint"),
        ({"without": ["magic"]}, r"known groups are network, rate, queue, unposted"),
    ],
)
def test_a_sidecar_that_does_not_fit_is_refused(file: Path, values: dict[str, object], says: str) -> None:
    change(file, **values)
    with pytest.raises(CheckpointError, match=says):
        read_checkpoint(file)


def test_the_shipped_ones_are_named() -> None:
    (whole,), streams = ([read_checkpoint(name) for name in names] for names in SHIPPED.values())
    assert read_checkpoint().path == whole.path
    assert len({tuple(one.parameters["encoder.bias"]) for one in streams}) == len(streams)
    for number, one in enumerate(streams, 1):
        assert one.path.stem == f"streams-{number}"
        assert one.without == whole.without
        assert one.training["settings"]["seed"] == number
        assert one.training["settings"]["domain"]["streams"] == 1.0


def test_a_missing_or_corrupt_file_is_refused(file: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone.safetensors: no such file"):
        read_checkpoint(file.with_name("gone.safetensors"))
    with pytest.raises(CheckpointError, match=r"a checkpoint is a .safetensors file"):
        read_checkpoint(file.with_suffix(".pkl"))
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(CheckpointError, match=r"net.safetensors: "):
        read_checkpoint(file)
    file.unlink()
    with pytest.raises(CheckpointError, match=r"net.safetensors: no such file"):
        read_checkpoint(file)


def test_a_sidecar_that_is_no_json_or_is_missing_is_refused(file: Path) -> None:
    sidecar = file.with_suffix(".json")
    sidecar.write_text("{")
    with pytest.raises(CheckpointError, match=r"net.json: "):
        read_checkpoint(file)
    sidecar.unlink()
    with pytest.raises(CheckpointError, match=r"net.json: no such file"):
        read_checkpoint(file)


def test_numbers_that_are_none_are_refused(file: Path) -> None:
    parameters = dict(checkpoint(file).parameters)
    parameters["shed.bias"] = np.array([np.nan], np.float32)
    write_checkpoint(replace(checkpoint(file), parameters=parameters))
    with pytest.raises(CheckpointError, match=r"shed.bias has values that are not finite"):
        read_checkpoint(file)


def test_a_parameter_that_is_not_there_is_named(file: Path) -> None:
    parameters = dict(checkpoint(file).parameters)
    del parameters["encoder.bias"]
    save_file(parameters, file)
    with pytest.raises(CheckpointError, match=r"encoder.bias is not there; float32 of shape \(8,\) is needed"):
        read_checkpoint(file)
