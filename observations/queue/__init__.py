"""The queue of finds at Mushroom Observer that verifiers should look at.

`polling` collects and reads them, `leases` gives each to one verifier at a time.
"""
