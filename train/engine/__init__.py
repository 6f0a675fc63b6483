"""What every training shares: recipe, run, loop, losses, where weights begin."""
