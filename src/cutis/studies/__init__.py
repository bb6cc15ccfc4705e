"""Studies: many trainings and what they teach."""
