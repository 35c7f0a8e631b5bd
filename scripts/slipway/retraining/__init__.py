"""How a decision of the governor becomes one dispatch and no second one: the ledger's and GitHub's part in it."""
