"""Which heads retrieve. Stages probes and detect-heads.

probes.py     stage: make probes
detection.py  stage: find the retrieval heads, write them as a mask
"""
