"""The benchmarks: `./run bench [name]`. Each measures ours and its floor in one run and prints the ratio."""
