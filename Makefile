# Every command a newcomer needs. `make demo` is the place to begin.
PYTHON ?= python3
VENV := .venv
# Of `make crash` and `make bench-scale`: a server of each, on which databases and queues may be made.
POSTGRESQL ?= postgresql://postgres@127.0.0.1:5432/postgres
BROKER ?= amqp://guest:guest@127.0.0.1:5672//
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test check lint docs mutants bench bench-scale crash clean constraints

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit("Points Hub needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all,dev]'
	@touch $@

demo: install
	$(BIN)/hub demo $(if $(ONCE),--once)

test: install
	$(BIN)/pytest -n logical --dist loadfile

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install
	$(BIN)/cog -r README.md docs/*.md docs/connectors/*.md

check: lint test
	$(BIN)/cog --check README.md docs/*.md docs/connectors/*.md

mutants: install
	$(BIN)/python tests/mutants

bench: install
	$(BIN)/python -m benchmarks

# N8N=FOLDER measures n8n beside it, which `python -m benchmarks.peers.n8n FOLDER` installs; SIZES='--backlog 100000' ...
bench-scale: install
	$(BIN)/python -m benchmarks.scale --postgresql $(POSTGRESQL) --broker $(BROKER) $(if $(N8N),--n8n $(N8N)) $(SIZES)

crash: install
	$(BIN)/hub crashtest --runs 50
	$(BIN)/hub crashtest --runs 5 --negative-control
	$(BIN)/hub crashtest points
	$(BIN)/hub crashtest poison
	$(BIN)/hub crashtest flood
	$(BIN)/hub crashtest disk
	$(BIN)/hub crashtest clock
	$(BIN)/hub crashtest outage
	$(BIN)/hub crashtest overload
	$(BIN)/hub crashtest servers
	$(BIN)/hub crashtest --runs 30 --postgresql $(POSTGRESQL) --broker $(BROKER)
	$(BIN)/hub crashtest points --postgresql $(POSTGRESQL) --broker $(BROKER)

constraints:
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-annotate --no-header --no-emit-index-url --quiet --output-file constraints.txt

clean:
	rm -rf $(VENV) demo-data
