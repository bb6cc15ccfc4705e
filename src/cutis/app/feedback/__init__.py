"""What doctors say of saved cases: the queue, opinions, agreement, and the way back to training."""
