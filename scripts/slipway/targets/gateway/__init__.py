"""The built-in gateway: a process of its own, in the environment of requirements/local-gateway.txt."""
