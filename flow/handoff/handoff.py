"""Write the whole hand-off of a design into a folder."""

import json
from pathlib import Path

from slipstick.files import write_text

from .bench import testbench
from .design import HandedDesign
from .fusesoc import core
from .openroad import config_mk
from .sdc import sdc
from .sta import opensta_script, yosys_script
from .stream import stream_markdown


def hand_off(design: HandedDesign, verilog: str, folder: Path) -> list[Path]:
    """Write Verilog, config, SDC, scripts of Yosys and OpenSTA, ``config.mk``, FuseSoC core, bench, stream's format.

    Returns the files written.
    """
    texts = {
        design.verilog: verilog,
        f"{design.top}.json": json.dumps(design.config.as_json(), indent=1) + "\n",
        f"{design.top}.sdc": sdc(design),
        f"{design.top}.ys": yosys_script(design),
        f"{design.top}.tcl": opensta_script(design),
        "config.mk": config_mk(design),
        f"{design.top}.core": core(design),
        f"{design.top}_tb.sv": testbench(design),
        "stream.md": stream_markdown(design),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]
