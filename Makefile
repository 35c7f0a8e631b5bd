# Two commands for everybody: `make demo` and `make test`. They need Python 3.11 or newer and git, nothing else.
PYTHON ?= python3
TESTS ?= tests
export SLIPWAY_HOME := $(CURDIR)/.slipway
# Set by some machines; it makes every process compile the same modules again.
unexport PYTHONDONTWRITEBYTECODE

# The environment of tests and linters, built on first use from requirements/dev.txt.
IN_DEV = dev="$$(cat $(SLIPWAY_HOME)/dev-python)" && PATH="$${dev%/*}:$$PATH" &&

.PHONY: help demo release loop test check format lock golden schema kubernetes benchmark clean dev
help: ## List the commands
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 12

demo: ## The whole gate on real flight data, then a release under requests; ends by saying where to look
	@$(PYTHON) examples/demo.py
	@$(PYTHON) examples/release.py

release: ## A canary that is promoted and one that is taken back, under real requests; judges first what is not judged yet
	@$(PYTHON) examples/release.py

# Many tests wait for servers: four at a time keep two cores busy.
test: dev ## All tests; those that need Node or act say so and are skipped where these are absent
	@$(IN_DEV) pytest --numprocesses 4 --dist loadgroup $(TESTS)

check: dev ## Everything that CI checks beside the tests
	@$(IN_DEV) ruff format --check .
	@$(IN_DEV) ruff check .
	@$(IN_DEV) mypy
	@$(IN_DEV) PYTHONPATH=scripts lint-imports --no-logo
	@$(IN_DEV) zizmor --offline --no-progress --quiet --persona auditor action.yml actions .github examples
	@$(IN_DEV) check-jsonschema --builtin-schema vendor.github-actions action.yml actions/*/action.yml
	@$(IN_DEV) check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml examples/*/.github/workflows/*.yml
	@$(IN_DEV) shellcheck .ci/run
	@$(IN_DEV) python scripts/write_schema.py --check true
	@if command -v actionlint > /dev/null; then actionlint .github/workflows/*.yml examples/*/.github/workflows/*.yml; \
	else echo "actionlint is not installed: workflows were not linted (.ci/run requires it)"; fi

format: dev ## Format the code
	@$(IN_DEV) ruff format . && ruff check --fix .

golden: dev ## Write the golden files of comment and page anew
	@$(IN_DEV) PYTHONPATH=scripts:tests python tests/report_kit.py

schema: dev ## Write docs/slipway.schema.json from the policy's types
	@$(IN_DEV) python scripts/write_schema.py

COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header
lock: ## Resolve requirements.txt anew, and every group as a subset of it
	$(COMPILE) --upgrade requirements/core.in --output-file requirements.txt
	for group in $(filter-out core uv,$(basename $(notdir $(wildcard requirements/*.in)))); do \
	  $(COMPILE) --constraint requirements.txt requirements/$$group.in --output-file requirements/$$group.txt; done
	$(COMPILE) requirements/uv.in --output-file requirements/uv.txt

loop: ## From drift to a judged retraining, on real flights
	@$(PYTHON) examples/loop.py

kubernetes: dev ## The target kserve against a real Kubernetes API server; it needs Go and etcd
	cd tests/kubernetes/server && go build -o $(SLIPWAY_HOME)/crd-server .
	@$(IN_DEV) SLIPWAY_CRD_SERVER=$(SLIPWAY_HOME)/crd-server pytest tests/test_targets_kserve.py

benchmark: dev ## Measure the budgets, each against its peer in the same run
	@$(IN_DEV) python benchmarks/run_all.py

clean: ## Remove everything that these commands made
	rm -rf .slipway

dev:
	@mkdir -p $(SLIPWAY_HOME)
	@env -u GITHUB_OUTPUT $(PYTHON) scripts/build_environment.py --group dev > $(SLIPWAY_HOME)/dev-built
	@sed -n 's/^python = //p' $(SLIPWAY_HOME)/dev-built > $(SLIPWAY_HOME)/dev-python
