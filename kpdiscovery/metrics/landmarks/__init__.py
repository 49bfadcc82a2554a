"""How well discovered points stand for annotated ones: NME, PCK, OKS."""
