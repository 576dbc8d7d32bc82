"""Times put on one clock: a recording moved, its bins on a grid, trials laid end to end."""
