# On a fresh clone with nothing but Python, make and git:
#   make demo   the whole pipeline on synthetic scenes, from training to a streamed file
#   make test   the tests
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
DEMO := demo

export ORT_DISABLE_TELEMETRY = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo test test-all test-pythons lint docs model picture clean

help:
	@echo "make demo          train, quantize, measure, export and stream a small model (minutes)"
	@echo "make test          the tests (under 12 minutes); make test-all adds the slow ones"
	@echo "make test-pythons  the tests of runtime and complexity on other versions of Python"
	@echo "make lint          ruff and mypy --strict"
	@echo "make docs          the API reference from the docstrings, in docs/"
	@echo "make model         the packaged model and MODEL_CARD.md, from ESC10_DIR, MIC_IR_DIR, TEACHER=, NEGATIVES=, UNHEARD= (hours)"
	@echo "make picture       the pictures of the README"

# A marker file, so that a half-made environment is made again and a changed pyproject.toml is noticed.
$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(VENV)/ready
	@mkdir -p $(DEMO)
	$(RUN) -m train fit --config train/recipes/synthetic_demo.yaml --trainer.default_root_dir $(DEMO)
	$(RUN) -m train test --config train/recipes/synthetic_demo.yaml --trainer.default_root_dir $(DEMO)
	@# trained for two minutes: a student of this size may lose three points of accuracy, see `export onnx --help`
	$(RUN) -m export onnx $(DEMO)/model.pt -o $(DEMO)/model.onnx --tolerance 0.03
	$(RUN) -m complexity check $(DEMO)/model.onnx
	$(RUN) -m export verify $(DEMO)/model.onnx --against $(DEMO)/model.pt
	$(RUN) -m train render $(DEMO)/scenes.wav
	$(RUN) -m runtime classify $(DEMO)/scenes.wav --model $(DEMO)/model.onnx

# Two processes of one thread each. The tests of a file stay in one process and share its fixtures.
PYTEST := OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: $(VENV)/ready lint
	$(PYTEST)

test-all: $(VENV)/ready lint
	$(PYTEST) -m "slow or not slow"

# One environment for each interpreter that is found; the others are named.
PYTHONS ?= 3.10 3.12 3.13
test-pythons:
	@set -e; for version in $(PYTHONS); do \
	  if ! python$$version -c '' 2>/dev/null; then echo "python$$version was not found: skipped"; continue; fi; \
	  python$$version -m venv $(VENV)-$$version; \
	  $(VENV)-$$version/bin/python -m pip install --quiet --editable '.[dev]'; \
	  $(VENV)-$$version/bin/python -m pytest tests/runtime tests/complexity; \
	done

docs: $(VENV)/ready
	$(RUN) .ci/docs.py docs

# Hours on a CPU. TEACHER is mn04_as_mAP_432.pt with class_labels_indices.csv beside it; NEGATIVES are folders of sounds.
model: $(VENV)/ready
	$(RUN) -m benchmarks.box_model crossvalidate --teacher $(TEACHER) --negatives $(NEGATIVES) $(if $(UNHEARD),--unheard $(UNHEARD))
	$(RUN) -m benchmarks.box_model ship --teacher $(TEACHER) --negatives $(NEGATIVES)

picture: $(VENV)/ready
	$(RUN) -m benchmarks.pictures

lint: $(VENV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

clean:
	rm -rf $(VENV) $(VENV)-* $(DEMO) docs build dist *.egg-info
