"""Token merging: what it saves and costs (`__main__.py`), and recordings to train a network for that with."""
