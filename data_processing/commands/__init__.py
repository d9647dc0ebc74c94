"""The commands of `python -m data_processing`: each module has `Settings` (its flags) and `run`."""
