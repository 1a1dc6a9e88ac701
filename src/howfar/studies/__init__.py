"""Studies: many runs that differ along axes, trained in processes on this machine or on a Ray cluster.

    import howfar

    study = howfar.study("study.toml", "studies/rates", at_once=2)
    study.rows()

`specification` holds what is asked for, `planning` makes checked recipes of it, `study` and `runs` are the folder and
its content, `driving` does the missing runs through `processes` or `on_ray`, both of which call `worker`. `folder`
is the storage: a folder, or any address that fsspec can write to.
"""
