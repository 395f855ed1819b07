"""A small handwritten library in several spellings; every figure is easy to follow by hand."""

from pathlib import Path

import pytest

TEMPLATES = """
  lu_table_template (nldm) {{
    variable_1 : {first}; variable_2 : {second}; index_1 ("{index_1}"); index_2 ("{index_2}"); }}
  power_lut_template (energy) {{
    variable_1 : {power_first}; variable_2 : {second_power}; index_1 ("{index_1}"); index_2 ("{index_2}"); }}
  power_lut_template (passive) {{ variable_1 : input_transition_time; index_1 ("0.0, 0.1"); }}
"""
SLEW, LOAD, POWER_SLEW = "input_net_transition", "total_output_net_capacitance", "input_transition_time"


def toy(*, swapped: bool = False, units: str = "pf", when: str = "!A & B", clock_default: bool = False) -> str:
    """Cells INV, NAND, BUF1, BUF2 and DFF; the same library in every spelling.

    With ``clock_default`` the clock pin has a second group, without ``when``, of three times the energy.
    """
    scale = 1.0 if units == "pf" else 1000.0  # capacitances and energies in fF and fJ then
    slews, loads = "0.0, 0.1", f"0.0, {0.01 * scale:g}"
    axes = (LOAD, SLEW, LOAD, POWER_SLEW) if swapped else (SLEW, LOAD, POWER_SLEW, LOAD)
    index_1, index_2 = (loads, slews) if swapped else (slews, loads)
    templates = TEMPLATES.format(
        first=axes[0], second=axes[1], power_first=axes[2], second_power=axes[3], index_1=index_1, index_2=index_2
    )
    values = '"0.1, 0.3", "0.2, 0.4"' if swapped else '"0.1, 0.2", "0.3, 0.4"'  # [slew][load] = .1 .2 / .3 .4
    rows = [[0.002, 0.004], [0.006, -0.008]]
    rows = [list(row) for row in zip(*rows, strict=True)] if swapped else rows
    energies = ", ".join('"' + ", ".join(f"{value * scale:g}" for value in row) + '"' for row in rows)
    tables = "".join(f"{kind} (nldm) {{ values ({values}); }}\n" for kind in
                     ("cell_rise", "cell_fall", "rise_transition", "fall_transition"))  # fmt: skip

    def arc(pin: str, sense: str) -> str:
        return (
            f'timing () {{ related_pin : "{pin}"; timing_sense : {sense}; {tables} }}\n'
            f'internal_power () {{ related_pin : "{pin}"; rise_power (energy) {{ values ({energies}); }}\n'
            f" fall_power (energy) {{ values ({energies}); }} }}\n"
        )

    def pin(name: str, extra: str = "") -> str:
        return f"pin ({name}) {{ direction : input; capacitance : {0.003 * scale:g}; {extra} }}\n"

    hidden = f"""internal_power () {{ when : "{when}";
      rise_power (passive) {{ values ("{0.001 * scale:g}, {0.001 * scale:g}"); }}
      fall_power (passive) {{ values ("{0.003 * scale:g}, {0.003 * scale:g}"); }} }}"""
    clock = f"""internal_power () {{ when : "Q * !QN";
      rise_power (passive) {{ values ("{0.01 * scale:g}, {0.01 * scale:g}"); }}
      fall_power (passive) {{ values ("{0.01 * scale:g}, {0.01 * scale:g}"); }} }}"""
    if clock_default:
        clock += clock.replace('when : "Q * !QN";', "").replace(f"{0.01 * scale:g}", f"{0.03 * scale:g}")
    thresholds = "".join(
        f"{what}_threshold_pct_{edge} : {percent};"
        for what, percent in (("input", 50), ("output", 50), ("slew_lower", 20), ("slew_upper", 80))
        for edge in ("rise", "fall")
    )
    buffers = "".join(
        f'cell (BUF{n}) {{ area : {n}; {pin("A")} pin (Y) {{ direction : output; function : "A"; '
        f"{arc('A', 'positive_unate')} }} }}\n"
        for n in (1, 2)
    )
    return f"""/* a toy */ library (toy) {{
  time_unit : "1ns"; voltage_unit : "1V"; capacitive_load_unit (1,{units}); leakage_power_unit : "1nW";
  nom_voltage : 2.0; nom_temperature : 25;
  {thresholds}
  {templates}
  {buffers}
  cell ("INV") {{ area : 1.5; cell_leakage_power : 5; {pin("A")}
    pin (Y) {{ direction : "output"; function : "A'"; {arc("A", "negative_unate")} }} }}
  cell (NAND) {{ area : 2.5; cell_leakage_power : 7;
    leakage_power () {{ value : 1; when : "{when}"; }}
    {pin("A")} {pin("B", hidden)}
    pin (Y) {{ direction : output; function : "!(A B)"; {arc("A", "negative_unate")} {arc("B", "negative_unate")} }} }}
  cell (DFF) {{ area : 9; ff (IQ, IQN) {{ clocked_on : "CK"; next_state : "D"; }}
    {pin("CK", "clock : true; " + clock)} {pin("D")}
    pin (Q) {{ direction : output; function : "IQ"; timing () {{ related_pin : "CK"; timing_type : rising_edge;
      {tables} }} }}
    pin (QN) {{ direction : output; function : "IQN"; timing () {{ related_pin : "CK"; timing_type : rising_edge;
      {tables} }} }} }}
}}
"""


@pytest.fixture(scope="session")
def toy_text():
    return toy


@pytest.fixture(scope="session")
def full_liberty_path():
    """The original that the shipped library was slimmed from, where this checkout lies beside it."""
    path = Path(__file__).parents[3] / "shared" / "data" / "liberty" / "sg13g2_stdcell_typ_1p20V_25C.lib.gz"
    if not path.exists():
        pytest.skip(f"the original library {path.name} is not beside this checkout")
    return path
