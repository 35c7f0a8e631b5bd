# Two commands for everybody: `make demo` and `make test`. Needs Python 3.11 or newer and git.
PYTHON ?= python3
export SLIPWAY_HOME := $(CURDIR)/.slipway

.PHONY: demo
demo: ## The whole gate on real flight data; ends by saying where to look
	@$(PYTHON) examples/demo.py
