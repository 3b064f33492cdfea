"""Imports the nightly dumps of Mushroom Observer.

`files` reads them, `staging` copies them into temporary tables, `names` and `images` take from
there what ChampiPy keeps, `photos` labels photos that ChampiPy has, `downloads` fetches more.
"""
