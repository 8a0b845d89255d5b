"""Trainers: Plan + Prepared -> Checkpoint."""
