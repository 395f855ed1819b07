"""The main job and its parts: from a model to checked hardware."""
