"""The governor: whether a drift report sets off a retraining. Pure: no files, no network, no clock of its own."""
