"""The plan of a schema carried out by Spark, for data past one machine: same checks, same counts, same verdict."""
