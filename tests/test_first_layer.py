"""The first layers' kernels as pictures: known weights give known pixels, and what is no first layer is left out."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import tiny_recipe
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from transfercli.report.first_layer import GAP, columns_for, first_layers, grid
from transfercli.study.folder import Study
from transfercli.study.rows import COLUMNS

ROW = dict.fromkeys(COLUMNS) | {"split": "random-0", "seed": 0, "source": "", "layer": 0, "treatment": "base", "status": "done"}
ROW |= {"top1": 0.5, "top5": 0.9, "loss": 1.0, "top1_best10": 0.5, "step": 9, "classes": 4}


def kernels(count=6, channels=3, side=4):
    return np.random.default_rng(0).normal(size=(count, channels, side, side)).astype(np.float32)


def study_of(folder, weights, channels="rgb", seed=0, **row):
    """A study with one base, of target A, that has these weights."""
    study = Study(folder)
    recipe = tiny_recipe()
    pictures = recipe.pictures.model_copy(update={"channels": channels})
    study.write_recipe(recipe.model_copy(update={"pictures": pictures}))
    network = folder / "random-0" / (f"seed-{seed}/baseA" if seed else "baseA")
    network.mkdir(parents=True)
    (network / "row.json").write_text(json.dumps(ROW | {"network": "baseA", "target": "A", "seed": seed} | row))
    if weights is not None:
        save_file({"conv1.weight": np.ascontiguousarray(weights)}, network / "weights.safetensors")
    return study


def tile(picture, place, columns, side):
    """The pixels of one kernel in the picture."""
    top, left = place // columns * (side + GAP), place % columns * (side + GAP)
    return picture[top : top + side, left : left + side]


def test_each_kernel_is_scaled_by_its_own_largest_weight_around_mid_grey():
    weights = np.zeros((2, 3, 1, 2))
    weights[0, 0] = [[4.0, -4.0]]  # red
    weights[1, 1] = [[0.5, 0.25]]  # green
    picture = grid(weights)
    wide, high = 32, 16
    assert picture.shape == (high, 2 * wide + GAP, 3) and picture.dtype == np.uint8
    first, second = picture[:, :wide], picture[:, wide + GAP :]
    assert (first[:, :16] == [255, 128, 128]).all() and (first[:, 16:] == [1, 128, 128]).all()
    assert (second[:, :16] == [128, 255, 128]).all() and (second[:, 16:] == [128, 192, 128]).all()
    assert (picture[:, wide : wide + GAP] == 255).all()


def test_a_kernel_of_zeros_is_grey():
    assert (grid(np.zeros((1, 3, 5, 5))) == 128).all()


def test_kernels_stay_in_order_and_open_places_are_white():
    weights = np.stack([np.full((3, 8, 8), value) for value in (1.0, -1.0) * 6 + (1.0,)])  # 13: 3 rows of 5
    picture = grid(weights)
    assert picture.shape == (3 * 34 - GAP, 5 * 34 - GAP, 3)
    for place in range(15):
        expected = 255 if place % 2 == 0 or place > 12 else 1
        assert (tile(picture, place, 5, 32) == expected).all()


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (16, 8), (24, 6), (32, 8), (64, 16), (96, 12)])
def test_the_widths_of_known_first_layers(count, columns):
    assert columns_for(count) == columns


@given(st.integers(1, 4096))
def test_a_picture_is_wide_but_no_ribbon(count):
    columns = columns_for(count)
    rows = -(-count // columns)
    assert 1 <= columns <= count
    assert columns * columns <= 4 * count
    if count > 12:
        assert columns / rows >= 1.1


@pytest.mark.parametrize(("side", "shown"), [(3, 33), (5, 30), (7, 35), (11, 33), (64, 64)])
def test_kernels_are_enlarged_to_about_one_size(side, shown):
    assert grid(kernels(1, side=side)).shape == (shown, shown, 3)


def test_the_first_layer_of_a_base_is_read_and_shown(tmp_path):
    weights = kernels()
    found = first_layers(study_of(tmp_path, weights))
    assert list(found) == ["random-0/baseA"]
    assert (found["random-0/baseA"] == grid(weights)).all()


def test_a_further_seed_has_its_own_name(tmp_path):
    assert list(first_layers(study_of(tmp_path, kernels(), seed=3))) == ["random-0/seed-3/baseA"]


def test_channels_are_shown_as_red_green_blue(tmp_path):
    weights = kernels()
    [rgb] = first_layers(study_of(tmp_path / "rgb", weights)).values()
    [bgr] = first_layers(study_of(tmp_path / "bgr", weights[:, ::-1], channels="bgr")).values()
    assert (rgb == bgr).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_are_read_too(tmp_path, dtype):
    assert len(first_layers(study_of(tmp_path, kernels().astype(dtype)))) == 1


def with_nan():
    weights = kernels()
    weights[0, 0, 0, 0] = np.nan
    return weights


@pytest.mark.parametrize(
    "weights",
    [
        None,
        kernels(channels=4),
        kernels()[0],
        kernels(0),
        kernels(1, side=65),
        np.zeros((4097, 3, 1, 1), np.float32),
        np.zeros((6, 3, 4, 4), np.int32),
        with_nan(),
    ],
    ids=["none", "four channels", "one kernel", "no kernel", "too long", "too many", "whole numbers", "not a number"],
)
def test_what_is_no_first_layer_is_left_out(tmp_path, weights):
    assert first_layers(study_of(tmp_path, weights)) == {}


def test_damaged_and_foreign_weights_are_left_out(tmp_path):
    study = study_of(tmp_path, kernels())
    path = tmp_path / "random-0/baseA/weights.safetensors"
    whole = path.read_bytes()
    header = b'{"conv1.weight":{"dtype":"BF16","shape":[1,3,1,1],"data_offsets":[0,6]}}'
    other = b'{"fc8.bias":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    named = [len(text).to_bytes(8, "little") + text + bytes(size) for text, size in ((header, 6), (other, 4))]
    for content in (b"", b"not weights", whole[: len(whole) // 2], b"\xff" * 64, *named):
        path.write_bytes(content)
        assert first_layers(study) == {}
    path.unlink()
    os.mkdir(path)
    assert first_layers(study) == {}


def test_a_base_that_did_not_train_and_a_transfer_network_are_left_out(tmp_path):
    assert first_layers(study_of(tmp_path / "one", kernels(), status="did not learn")) == {}
    study = study_of(tmp_path / "two", kernels())
    base = tmp_path / "two/random-0/baseA"
    row = json.loads((base / "row.json").read_text())
    base.rename(base.with_name("B1A"))
    changed = {"network": "B1A", "treatment": "AnB", "source": "B", "layer": 1}
    (base.with_name("B1A") / "row.json").write_text(json.dumps(row | changed))
    assert len(study.rows()) == 1 and first_layers(study) == {}


def test_no_torch_is_needed():
    code = "import sys, transfercli.report.first_layer; print({'torch', 'matplotlib', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
