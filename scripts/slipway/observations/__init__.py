"""Where looks come from: one source a module. Each is an `Observations` of `slipway.canary`."""
