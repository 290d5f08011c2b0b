"""Measurements of the finished models; nothing in here is used to train or select weights."""
