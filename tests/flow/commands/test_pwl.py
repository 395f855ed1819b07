"""``slipstick pwl``: fits, files of three forms, and mistakes in one line."""

import json
from pathlib import Path

import pytest

from slipstick.model.pwl.curve import PwlCurve, mse_of_codes
from slipstick.model.pwl.functions import GELU
from slipstick.model.pwl.optimal import fit, fit_float
from slipstick.rtl.spec.pwl import PwlTable
from tests.flow import command_line
from tests.model.pwl.tables import FLOAT_MSE, HEADROOM, shipped


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        return command_line.call(monkeypatch, "pwl", *arguments), *capsys.readouterr()

    return call


def test_a_fit_as_json_has_the_errors_of_every_scale(call) -> None:
    code, out, error = call("fit", "gelu", "--json")
    found = json.loads(out)
    assert (code, error) == (0, "") and found["mse"] == fit_float(GELU, 8).mse(GELU)
    assert list(found["mse_int8"]) == list("0123456")
    assert list(found["codes_int8"].values()) == [9, 17, 33, 65, 129, 256, 256]
    for one in found["tables"]:
        fraction = one["input_fraction"]
        assert PwlTable.from_json(one) == fit(GELU, 8, fraction)
        assert found["mse_int8"][str(fraction)] == mse_of_codes(fit(GELU, 8, fraction), GELU)


@pytest.mark.parametrize(("function", "entries", "bits"), [("exp", 8, 8), ("reciprocal", 8, 9), ("rsqrt", 16, 9)])
def test_coefficients_get_the_bits_that_the_function_needs(call, function: str, entries: int, bits: int) -> None:
    found = json.loads(call("fit", function, "--entries", str(entries), "--scale", "2^-4", "--json")[1])
    assert found["format"] == {"slope_width": bits, "intercept_width": bits, "fraction": 6}
    assert found["mse"] <= 1.5 * HEADROOM[function][entries == 16]


def test_a_file_shows_as_it_was_fitted(call, tmp_path: Path) -> None:
    arguments = (
        "fit",
        "silu",
        "--scale",
        "2^-4",
        "--scale",
        "0.5",
        "--entries",
        "4",
        "--fraction",
        "7",
        "--width",
        "9",
    )
    code, out, _ = call(*arguments, "--out", "silu.json", "--json")
    fitted, kept = json.loads(out), json.loads((tmp_path / "silu.json").read_text())
    assert code == 0 and fitted == kept and [one["input_fraction"] for one in kept["tables"]] == [4, 1]
    assert kept["format"] == {"slope_width": 9, "intercept_width": 9, "fraction": 7}
    code, out, _ = call("show", "silu.json", "--json")
    assert code == 0 and json.loads(out) == {**kept, "method": "file"}
    assert "silu, 4 entries, slopes Q1.7, intercepts Q1.7: MSE" in " ".join(call("show", "silu.json")[1].split())


def test_one_table_alone_and_a_published_file_show_too(call, tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text(json.dumps(fit(GELU, 8, 4).to_json()))
    (tmp_path / "published.json").write_text(json.dumps(shipped("gelu")))
    code, out, _ = call("show", "table.json")
    assert code == 0 and "2^-4" in out and "slope (2^-6)" in out and "below" in out
    code, out, _ = call("show", "published.json", "--json")
    found = json.loads(out)
    assert code == 0 and found["mse"] == pytest.approx(FLOAT_MSE["gelu", 8], rel=1e-2) and len(found["tables"]) == 7


def test_the_genetic_search_is_named_and_seeded(call) -> None:
    arguments = ("fit", "rsqrt", "--method", "genetic", "--entries", "3", "--width", "9", "--scale", "1", "--json")
    first, second, other = (call(*arguments, "--seed", seed)[1] for seed in "112")
    assert first == second != other
    found = json.loads(first)
    assert found["method"] == "genetic"
    assert PwlCurve.from_json(found["curve"]).at_scale(0).to_json() == found["tables"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "gleu"), "unknown function 'gleu'; near names: gelu"),
        (("fit", "gelu", "--scale", "0.3"), "scale 0.3 is not a power of two"),
        (("fit", "gelu", "--scale", "2^1"), "not a power of two from 2^0 to 2^-24"),
        (("fit", "gelu", "--scale", "nan"), "not a power of two"),
        (("fit", "gelu", "--scale", "fine"), "scale 'fine' is no number"),
        (("fit", "reciprocal", "--width", "8"), "Q2.6 (9 and 9 bits) would"),
        (("fit", "reciprocal", "--scale", "2^-9", "--width", "9"), "no input code of scale 2^-9"),
        (("fit", "gelu", "--width", "1"), "--width 1: must be from 2 to 32"),
        (("show", "nothing.json"), "cannot read nothing.json"),
        (("show", "text.json"), "text.json: not JSON"),
        (("show", "other.json"), "other.json: not a piecewise linear table"),
        (("fit", "gelu", "--out", "."), "it is a folder"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line_and_code_2(call, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "text.json").write_text("text")
    (tmp_path / "other.json").write_text('{"a": 1, "b": 2}')
    code, out, error = call(*arguments)
    assert code == 2 and out == "" and error.count("\n") == 1 and message in error


def test_help_ends_with_examples(call) -> None:
    for command in ("fit", "show"):
        code, out, _ = call(command, "--help")
        assert code == 0 and f"Example: slipstick pwl {command}" in out and "--json" in out
