"""Where models are served: one system a module, each a `Target` of `slipway.targets.protocol`."""
