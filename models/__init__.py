"""Grunet and what it needs: networks, beat data sets, training, evaluation and the shipped weights."""
