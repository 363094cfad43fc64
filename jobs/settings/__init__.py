"""Settings of every stage: typed, from a YAML file, the environment and flags.

stage.py      one typed model of settings per stage: YAML, environment, flags
arguments.py  what argparse and pydantic-settings get wrong: -1e-3 as a value, a name twice in JSON
messages.py   what is wrong with a setting, in our words
yaml_file.py  YAML whose text stays text: no is Norway, 1.10 is not 1.1
documents.py  the settings that say where documents are
scorer.py     the settings that score and estimate share
"""
