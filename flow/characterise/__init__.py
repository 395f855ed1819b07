"""What cells are like: errors uniform and weighted by a workload, exact rank, area, delay and energy."""
