"""The look-up-table units: weightless MLPs of rows of codes."""
