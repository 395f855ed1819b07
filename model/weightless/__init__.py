"""Weightless MLPs: thermometer codes, look-up tables trained by finite differences, conditional summation."""
