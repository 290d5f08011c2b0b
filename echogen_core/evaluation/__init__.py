"""Measuring finished models; nothing in here trains or selects weights."""
