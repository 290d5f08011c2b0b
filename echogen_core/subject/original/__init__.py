"""The authors' own GroundingDINO and SAM packages as backends: optional, imported only when one is chosen.

The default backend, transformers, reads the same weight files and gives the same boxes and masks.
"""
