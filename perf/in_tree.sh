#!/bin/sh
# bazel run: a program of the tree, named by the first argument, in the folder from which Bazel was called.
cd "${BUILD_WORKING_DIRECTORY:?run this with bazel run}" || exit
program=$1
shift
exec "$BUILD_WORKSPACE_DIRECTORY/$program" "$@"
