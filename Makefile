# Everything sets itself up, outside the checkout. STAGE="unit qemu" narrows `make test` to some stages.

.PHONY: help demo test lint docs bench clean

help:
	@echo "make demo   a virtual machine's life on plain QEMU, each pass twice"
	@echo "make test   all tests; STAGE= takes any of lint unit sanity sanity-newest qemu integration"
	@echo "make lint   the stage lint alone"
	@echo "make docs   the page of capabilities, and the documentation site"
	@echo "make bench  the benchmarks; PARTS= takes any of fleet inventory qemu peer, and --write for docs/benchmarks.md"
	@echo "make clean  remove all that these made"

demo docs clean:
	@tests/setup/$@.sh

bench:
	@tests/setup/bench.sh $(PARTS)

test:
	@tests/setup/test.sh $(STAGE)

lint:
	@tests/setup/test.sh lint
