"""Texts to pooled features: backbones, hook points, SAEs and their formats, pooling, extraction.

The only room, with `deploy`, that needs torch. Knows nothing of labels. Import what you need from its modules; this
file imports none of them, because some must be usable without torch.
"""
