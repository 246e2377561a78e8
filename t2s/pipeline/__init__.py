"""The whole lifecycle as one resumable run: search, train, evaluate, promote, deploy, and one page about it.

The room adds no way of doing any of it: each stage calls the room that owns it, and is taken up by that room's own
resume. What is here is which stage is done, with which settings and where its results lie (``pipeline.json``).
"""
