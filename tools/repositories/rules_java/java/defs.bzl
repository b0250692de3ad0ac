"""Bazel's own tools load the Java rules from here; Bazel 4 has them built in. Hartloop has no Java."""

java_binary = native.java_binary
java_import = native.java_import
java_library = native.java_library
java_package_configuration = native.java_package_configuration
java_runtime = native.java_runtime
java_test = native.java_test
java_toolchain = native.java_toolchain
