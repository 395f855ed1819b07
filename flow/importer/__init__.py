"""A user's own multiplier as a cell: Verilog, C or a table in, a netlist out."""

from .importer import Imported, add_to_library, from_c, from_table, from_verilog, import_files
from .verilog import Elaboration

__all__ = ["Elaboration", "Imported", "add_to_library", "from_c", "from_table", "from_verilog", "import_files"]
