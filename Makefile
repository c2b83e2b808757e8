# The two commands of the README are `make run` and `make test`; what they do stands in .ci/.
.PHONY: run test test-full bench lint fmt

run:
	@exec .ci/serve.sh

test:
	@.ci/test.sh

# Longer rounds, cargo-deny, and the release build.
test-full:
	@.ci/test.sh full

# make bench ONLY=ground. measures only the rows whose names start so.
bench:
	@ONLY='$(ONLY)' .ci/bench.sh

lint:
	@.ci/lint.sh

fmt:
	@cargo fmt --all
