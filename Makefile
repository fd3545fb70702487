# A thin front for CMake: every target does its own set-up.
#   make run PROMPT="..." [ARGS="-n 50 -t 0"]     from nothing to a model that answers
#   make test                                     from nothing to the tests' verdict
# With CMake alone: cmake --preset release && cmake --build --preset release

PROMPT ?= What can a small language model on a small computer be good for?
ARGS   ?=
BITS   ?= 2
LAYERS ?= 16
PREFIX ?= /usr/local
export PROMPT

JOBS    = $(shell scripts/jobs.sh)
EDGELLM = build/release/edgellm
# The default model, which this repository holds; and its source's weights as they are, which tests and figures take.
MODEL   = models/smollm2-135m-instruct-40mb.tm2.bin
FULL    = models/SmolLM2-135M-Instruct.tm2.bin
SOURCES = $(shell find src include tests tools examples -name '*.[ch]' -o -name '*.inc' -o -name '*.[ch]pp')

MAKEFLAGS += --no-print-directory

.PHONY: run model source build test test-model test-isa asan tsan clang lint coverage bench bench-large bench-shapes \
        bench-codecs bench-kernels bench-attention bench-peak bench-peers bench-boot bench-stream bench-serve soak conformance format \
        format-check install uninstall setup clean help fuzz fuzz-minimise fuzz-coverage quality mca \
        talk distil test-distil test-clients test-web test-faults test-examples test-scale example-ray \
        wheel test-python dist test-dist test-repro test-boards deb test-deb apt-repo test-apt-repo image test-image boards site

help:
	@sed -n '2,4s/^# *//p' Makefile
	@echo "also: build model source test-model test-isa asan tsan clang lint coverage conformance"
	@echo "      bench bench-boot bench-stream bench-serve bench-large bench-shapes bench-codecs bench-kernels bench-attention bench-peak bench-peers soak"
	@echo "      format format-check"
	@echo "      install uninstall setup clean fuzz fuzz-minimise fuzz-coverage quality mca talk"
	@echo "      distil test-distil test-clients test-web test-faults test-examples test-scale example-ray"
	@echo "      wheel test-python dist test-dist test-repro test-boards deb test-deb apt-repo test-apt-repo image test-image boards site"

.DEFAULT_GOAL := help

# `make test` needs more than `make run`: test_install.py builds a C++ program.
test asan tsan clang coverage: SETUP = --test
setup:
	@scripts/setup.sh $(SETUP)

build/%/CMakeCache.txt: | setup
	cmake --preset $*

# The programs alone, what `run` needs.
$(EDGELLM): setup build/release/CMakeCache.txt FORCE
	@cmake --build build/release --target programs --parallel $(JOBS)

FORCE:

build: $(EDGELLM)

# Fetches the GGUF file that the default model was made from, and makes FULL of it.
source: $(EDGELLM)
	@scripts/source.sh $(EDGELLM)

# Makes the default model anew: more than an hour. SIZE=50MB, 60MB, 72MB: another, beside it. Stopped, it goes on where it was.
model: $(EDGELLM)
	@scripts/model.sh $(EDGELLM) $(or $(SIZE),40MB)

run: $(EDGELLM)
	@$(EDGELLM) run $(MODEL) -p "$$PROMPT" $(ARGS)

# $(call check,PRESET): builds everything and runs the tests, EXCEPT="a|b" without these; ends with ctest's
# summary.
# One test more at once than cores: some wait, for servers that do not answer. AT_ONCE=N: another number.
# libcurl and libwebsockets, which the tests need and the program does not, may have come since cmake
# looked for them.
define check
	@test $$(grep -c '^LIB\(CURL\|WEBSOCKETS\)_FOUND:INTERNAL=1' build/$(1)/CMakeCache.txt) = 2 || cmake build/$(1)
	cmake --build build/$(1) --parallel $(JOBS)
	ctest --test-dir build/$(1) --output-on-failure --parallel $(or $(AT_ONCE),$$(($(JOBS) + 1))) $(if $(EXCEPT),-E '^($(EXCEPT))$$')
endef

test: setup build/release/CMakeCache.txt
	$(call check,release)

asan: setup build/asan/CMakeCache.txt
	$(call check,asan)

tsan: setup build/tsan/CMakeCache.txt
	$(call check,tsan)

clang: setup build/clang/CMakeCache.txt
	$(call check,clang)

# clang-tidy and cppcheck; which checks, and why: .clang-tidy, scripts/lint.sh
lint:
	@scripts/setup.sh --lint
	@cmake --preset clang >/dev/null
	@scripts/lint.sh build/clang $(JOBS)

# Every call of the system's that the program makes fails once: `make test` tries a part of them.
test-faults: SETUP = --test
test-faults: setup build/release/CMakeCache.txt
	cmake --build build/release --parallel $(JOBS)
	EL_FAULTS_ALL=1 ctest --test-dir build/release --output-on-failure -R '^faults$$'
	printf '%s\n' failures writers | xargs -P $(JOBS) -I PART python3 tests/test_faults_cli.py \
	    $(EDGELLM) build/release/tests/make_tiny build/release/tests/libedgellm_inject.so \
	    build/release/tests/faults_PART PART all

# What the tests reach, per module. What they don't: make coverage ARGS="format token/bpe.c"
coverage: setup build/coverage/CMakeCache.txt
	@find build/coverage -name '*.gcda' -delete
	$(call check,coverage)
	@scripts/coverage.py build/coverage $(ARGS)

# Each target of tests/fuzz for FUZZ_SECONDS (60), one to a core; TARGETS="gguf tm2": only those.
fuzz fuzz-minimise fuzz-coverage:
	@scripts/setup.sh --fuzz
	tools/fuzz.sh $(or $(patsubst fuzz-%,%,$(filter fuzz-%,$@)),run) $(TARGETS)

# Archives of programs for x86-64, arm64, armhf and riscv64, and their checksums, in build/dist:
# docs/BOARDS.md. ARCHS="arm64 armhf": only those.
dist:
	@scripts/setup.sh --dist
	@scripts/dist.sh $(ARCHS)

# The archives under emulators.
test-dist: dist build/release/CMakeCache.txt
	@cmake --build build/release --target programs make_tiny --parallel $(JOBS)
	@tools/test_dist.sh $(ARCHS)

# Archives and this machine's Debian packages built a second time, elsewhere and otherwise: the same bytes?
# REPRO="arm64", "amd64 deb": only those; "deb-arm64 deb-armhf": packages of others, as root.
test-repro: REPRO ?= amd64 arm64 armhf riscv64 deb
test-repro:
	@scripts/setup.sh --dist
	@scripts/setup.sh --deb
	@[ -z "$(filter deb-%,$(REPRO))" ] || scripts/setup.sh --roots
	@archs="$(filter-out deb deb-%,$(REPRO))"; [ -z "$$archs" ] || scripts/dist.sh $$archs
	@[ -z "$(filter deb,$(REPRO))" ] || scripts/deb.sh
	@debs="$(patsubst deb-%,%,$(filter deb-%,$(REPRO)))"; [ -z "$$debs" ] || scripts/deb.sh $$debs
	@tools/test_repro.sh $(REPRO)

# Debian packages, checked by lintian: build/deb. For this machine, or, as root: make deb ARCHS="amd64 arm64 armhf"
deb:
	@scripts/setup.sh --deb
	@[ -z "$(ARCHS)" ] || scripts/setup.sh --roots
	@scripts/deb.sh $(ARCHS)

# Those for this machine, installed, upgraded and removed in a root of Debian's, as root.
test-deb: build/release/CMakeCache.txt
	@scripts/setup.sh --roots
	@cmake --build build/release --target programs make_tiny --parallel $(JOBS)
	@tools/test_deb.sh

# Those packages as a repository for apt, in build/apt-repo, signed by a key of gpg's: make apt-repo KEY=ID
apt-repo:
	@scripts/setup.sh --apt
	@scripts/apt_repo.sh "$(KEY)" $(DEBS)

# One of small packages, read; and, as root, one of those in build/deb, installed from in a root of Debian's.
test-apt-repo:
	@scripts/setup.sh --apt
	@scripts/setup.sh --roots
	@tools/test_apt_repo.sh
	@tools/test_apt_root.sh

# A container image for amd64 and arm64, without a container engine: build/image/edgellm. MODEL_IN=FILE: with a model
image:
	@scripts/setup.sh --image
	@MODEL="$(MODEL_IN)" scripts/image.sh $(ARCHS)

# That image, unpacked and run read-only, without rights: as root, who may mount.
test-image: image $(EDGELLM)
	@tools/test_image.sh

# Four Cortex-A53 with 256 MB and with 128, emulated from the kernel on, answer as this machine does.
test-boards: source
	@scripts/setup.sh --boards
	@tools/test_boards.sh $(FULL)

test-model: source
	@cmake --build build/release --target float_distance --parallel $(JOBS)
	python3 tests/real_model.py $(EDGELLM) $(FULL) build/release/tests/float_distance \
	    models/SmolLM2-135M-Instruct.Q4_1.gguf

# The same hash under emulators of other processors.
test-isa: setup
	tools/test_isa.sh

# What a token and the first one cost by the server, and what an idle connection takes: docs/SERVER.md.
bench-stream: source
	@cmake --build build/release --target programs edgellm_shared --parallel $(JOBS)
	tools/bench_stream.py $(EDGELLM) $(FULL)

# 64 clients for a minute, and 10,000 WebSockets that are idle; says what holds, exit code 1: something
# does not: docs/SERVER.md, "Under load". ARGS="--seconds 30 --only load --json FILE"
bench-serve: $(EDGELLM)
	@cmake --build build/release --target programs --parallel $(JOBS)
	tools/bench_serve.py $(EDGELLM) $(MODEL) $(ARGS)

bench: $(EDGELLM)
	$(EDGELLM) bench $(MODEL) $(ARGS)

# The same on random weights, more than caches hold: 287 MB at 2 bits; where the last cache holds
# that (lscpu), LAYERS=32 makes 546 MB. BITS=4: another width.
bench-large: $(EDGELLM)
	@cmake --build build/release --target random_model --parallel $(JOBS)
	build/release/tools/random_model $(MODEL) build/random-$(BITS).tm2.bin $(BITS) $(LAYERS)
	$(EDGELLM) bench build/random-$(BITS).tm2.bin $(ARGS)

# Models of random weights in the shapes of SmolLM2, Qwen2, Llama 3.2, Phi-3-mini and BitNet, one core:
# memory, tokens/s, and what each weight takes beside Llama's: docs/HARDWARE.md. Takes 2.5 GB of disk and memory.
# ARGS="--codec 4 --check"
bench-shapes: $(EDGELLM)
	@cmake --build build/release --target random_model --parallel $(JOBS)
	tools/bench_shapes.py --edgellm $(EDGELLM) $(ARGS)

# From the start of the program to its first token, without and with --prompt-cache, and with both files
# evicted from memory, beside the rate at which the model is read.
bench-boot: $(EDGELLM)
	tools/bench_boot.py --edgellm $(EDGELLM) $(MODEL) $(ARGS)

# Which order of codes in memory? docs/CODECS.md
bench-codecs: setup build/release/CMakeCache.txt
	@cmake --build build/release --target bench_codecs --parallel $(JOBS)
	build/release/tools/bench_codecs $(ARGS)

# Each matrix kernel at each level that this CPU runs, beyond its caches: docs/KERNELS.md
# ARGS="avx2 100": one level, the best of so many passes.
bench-kernels: setup build/release/CMakeCache.txt
	@cmake --build build/release --target bench_kernels --parallel $(JOBS)
	build/release/tools/bench_kernels $(ARGS)

# What would lookups save of attention? docs/KERNELS.md
bench-attention: setup build/release/CMakeCache.txt
	@cmake --build build/release --target bench_attention --parallel $(JOBS)
	build/release/tools/bench_attention $(ARGS)

# How near to the dot instructions' peak are prompts computed? docs/KERNELS.md
bench-peak: setup build/release/CMakeCache.txt
	@cmake --build build/release --target bench_peak --parallel $(JOBS)
	build/release/tools/bench_peak $(ARGS)

# Cycles of the kernels' loops on ARM and RISC-V cores, and what boards could do at most: docs/HARDWARE.md
mca:
	@scripts/setup.sh --mca
	@tools/mca/report.py $(ARGS)

# Pages of docs/boards, from docs/boards/boards.json, the estimates and the reports.
boards: $(EDGELLM)
	@tools/board_pages.py $(EDGELLM)

# The documents as a site, in build/site; MkDocs is taken into build/venv-site.
site:
	@scripts/setup.sh --site
	@tools/site.sh

# What models lost, on three texts and on chat answers: make quality WIKITEXT=FILE MODELS="A B" SOURCE=C ARGS=--json
# C, a TM2 or GGUF file, is what A and B were made from.
quality: source
	@tools/quality.py --edgellm $(EDGELLM) --source "$(or $(SOURCE),$(FULL))" \
	    --wikitext "$(WIKITEXT)" $(ARGS) $(or $(MODELS),"$(MODEL)")

# What a small file answers, beside its source, and what of it can be counted: docs/QUALITY.md.
# make talk MODEL=SMALL SOURCE=FILE; ARGS=--check: only whether it is worse than it may be (exit code 1)
talk: source
	@tools/talk.py --edgellm $(EDGELLM) --source "$(or $(SOURCE),$(FULL))" \
	    $(ARGS) "$(MODEL)"

# make distil ARGS="prepare | write | train ..."; docs/DISTILLATION.md. Takes PyTorch into build/venv.
distil: $(EDGELLM)
	@tools/distil.sh $(ARGS)

test-distil: setup build/release/CMakeCache.txt
	cmake --build build/release --parallel $(JOBS)
	@tools/distil.sh test

# `edgellm serve` asked by OpenAI's and Ollama's Python packages, and by `websockets`, which are taken into build/venv, and
# by OpenAI's for Node (build/node).
test-clients: SETUP = --clients
test-clients: setup build/release/CMakeCache.txt
	cmake --build build/release --target programs make_tiny --parallel $(JOBS)
	@tools/test_clients.sh

# The web page of `edgellm serve` in a browser: the system's Chromium; Playwright is taken into build/venv.
test-web: SETUP = --web
test-web: setup build/release/CMakeCache.txt
	cmake --build build/release --target programs make_tiny --parallel $(JOBS)
	@tools/test_web.sh $(ARGS)

# The Python package as a wheel with the library in it, in build/wheel; setuptools is taken into build/venv-wheel.
wheel: SETUP = --wheel
wheel: setup build/release/CMakeCache.txt
	cmake --build build/release --target edgellm_shared --parallel $(JOBS)
	@tools/wheel.sh

# That wheel, installed: its tests, and mypy.
test-python: wheel
	cmake --build build/release --target programs make_tiny --parallel $(JOBS)
	@tools/wheel.sh test

# Two servers behind nginx and HAProxy, one of which is killed; the manifests for Kubernetes (docs/SCALE.md).
test-scale: SETUP = --scale
test-scale: setup build/release/CMakeCache.txt
	cmake --build build/release --target programs make_tiny --parallel $(JOBS)
	@tools/test_scale.sh

# A batch in shards, by Ray from PyPI, which is taken into build/venv-ray.
example-ray: SETUP = --wheel
example-ray: $(EDGELLM)
	@cmake --build build/release --target programs --parallel $(JOBS)
	@tools/example_ray.sh $(MODEL)

# examples/smart_home.py and machine_monitor.py, beside a broker (Mosquitto) and a server with the real model.
test-examples: SETUP = --examples
test-examples: setup source
	@tools/test_examples.sh

conformance: source
	tools/conformance.sh

bench-peers: source
	tools/bench_peers.sh

# Are deadlines kept under load? Certifies for half a minute, then asks a thousand times; some four
# minutes. make soak MODEL=FILE ARGS="-j 1"; without the rights that --rt needs misses are errors.
soak: $(EDGELLM)
	EDGELLM_CACHE=build/soak $(EDGELLM) certify "$(MODEL)" -c 160 -b 16 --rt --load all --duration 30 $(ARGS)
	EDGELLM_CACHE=build/soak $(EDGELLM) soak "$(MODEL)" -c 160 -b 16 --rt --load all $(ARGS)

format:
	clang-format -i $(SOURCES)

format-check:
	clang-format --dry-run --Werror $(SOURCES)

# Programs, libraries, header, documents: make install PREFIX=/usr DESTDIR=/tmp/package. Installs no
# packages (no setup), builds no tests. What is linked where: cmake/install.cmake.
install:
	cmake --preset install -DCMAKE_INSTALL_PREFIX:PATH="$(PREFIX)"
	cmake --build build/install --parallel $(JOBS)
	DESTDIR="$(DESTDIR)" cmake --install build/install

# Removes what the last `make install` put there, with the same DESTDIR.
uninstall:
	DESTDIR="$(DESTDIR)" cmake -P cmake/uninstall.cmake build/install/install_manifest.txt

clean:
	rm -rf build
