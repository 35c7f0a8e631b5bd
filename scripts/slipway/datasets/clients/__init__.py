"""Programs that speak to one system each. They run in an environment of their own, with JSON in and JSON out.

The systems' SDKs are large, and no stage needs more than one: a stage imports none of them and starts what it needs.
"""
