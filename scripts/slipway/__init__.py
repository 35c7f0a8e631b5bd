"""What the stages share, in floors: a module imports only from its own floor's package or from a lower floor."""
