"""What `python run.py` does, in parts: environment, ComfyUI, server, demo, checks. Standard library only."""
