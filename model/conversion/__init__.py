"""From a float model to one whose products come from cells: find them, plan, replace, route, calibrate."""
