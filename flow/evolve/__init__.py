"""Evolved cells: Cartesian genetic programming over netlists, for power under bounds on weighted errors."""
