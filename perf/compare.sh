#!/bin/sh
# bazel run //perf:compare: hl perf, in the tree and folder from which Bazel was called.
cd "${BUILD_WORKING_DIRECTORY:?run this with bazel run //perf:compare}" || exit
exec "$BUILD_WORKSPACE_DIRECTORY/hl" perf "$@"
