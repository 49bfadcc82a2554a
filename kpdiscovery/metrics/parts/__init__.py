"""How well channels of heat maps find annotated parts."""
