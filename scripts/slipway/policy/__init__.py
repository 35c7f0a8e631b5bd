"""Ground floor: slipway.yml as typed values, and the strict reading of every YAML file that a person writes."""
