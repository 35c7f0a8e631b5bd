"""Which two models are compared, and what may make their comparison say less than it seems to."""
