"""A user's own multiplier as a cell: Verilog, C or a table in, a netlist out."""

from .importer import Imported, add_to_library, from_c, from_table, from_verilog, import_files

__all__ = ["Imported", "add_to_library", "from_c", "from_table", "from_verilog", "import_files"]
