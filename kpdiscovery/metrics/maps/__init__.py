"""How well score maps find objects: boxes, masks, and how sparse maps are."""
