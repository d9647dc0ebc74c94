"""The tables and figures of the paper (WACV 2023) as programs: `python -m experiments --help`.

One file per table or figure says what it varies, what the paper found and what it costs. An experiment is a set of
steps (trainings, fits, evaluations; `recipes`), many of them shared with other experiments; `runner` does those that
have no result yet, `report` and `plots` show what is there.
"""
