"""Programs that speak to one serving system each. They run in an environment of their own, with JSON in and JSON out.

The systems' SDKs are large, and a release needs one of them: no stage imports any.
"""
