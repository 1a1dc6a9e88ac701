"""Studies: many runs that differ along axes, trained by processes of this machine or by a Ray cluster.

    import howfar

    study = howfar.study("study.toml", "studies/rates", at_once=2)
    study.rows()

`specification` says what is asked for, `planning` makes checked recipes of it, `study` and `runs` are the folder and
what lies in it, `driving` does what is missing by `processes` or `on_ray`, each of which does `worker`'s work. `place`
is where all of it lies: a folder, or any place that fsspec writes to.
"""
