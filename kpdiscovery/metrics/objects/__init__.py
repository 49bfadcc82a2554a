"""How well several objects a picture are told apart: segments, types, clusters."""
