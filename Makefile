# For fingers that type make. Everything is in ./run.
.PHONY: run demo test bench
run:
	@./run
demo test bench:
	@./run $@
