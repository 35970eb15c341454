#!/bin/sh
# Write the lock files anew: exact versions with hashes and without addresses.
set -eu

# For every Python from the oldest one on, whichever is in .venv.
oldest=3.11

compile() {
    out=$1
    shift
    .venv/bin/uv pip compile pyproject.toml --quiet --universal --python-version "$oldest" \
        --generate-hashes --no-annotate --no-emit-index-url \
        --no-emit-find-links --custom-compile-command "make lock" --output-file "deploy/locks/$out.lock" "$@"
}

everything="--extra kam --extra orchestrator --extra granulator --extra researcher --extra analyst --extra planner --extra classifier --extra console"
# shellcheck disable=SC2086
compile run $everything --group installer --group build
# shellcheck disable=SC2086
compile test $everything --group installer --group build --group test --group check
for service in kam orchestrator granulator researcher analyst planner classifier; do
    compile "$service" --extra "$service"
done
for group in installer build; do
    .venv/bin/uv pip compile --quiet --universal --python-version "$oldest" --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
        --custom-compile-command "make lock" --output-file "deploy/locks/$group.lock" --group "pyproject.toml:$group"
done
# What the two depend on is another way to run the model, which the tests do without.
.venv/bin/uv pip compile --quiet --universal --python-version "$oldest" --no-deps --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
    --custom-compile-command "make lock" --output-file deploy/locks/llm.lock --group pyproject.toml:llm
