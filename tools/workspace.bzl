"""What a WORKSPACE calls to use Hartloop, this one or another that includes it.

    local_repository(name = "hartloop", path = "/path/to/hartloop")
    load("@hartloop//tools:workspace.bzl", "hartloop_workspace")
    hartloop_workspace()

Nothing here touches the network: Debian's packages must have been fetched by `hl setup`.
"""

load("//tools:configure.bzl", "hartloop_machine", "hartloop_packages")

def _stub(name):
    """A local repository for a name that Bazel's own tools refer to, unless the workspace has one."""
    if not native.existing_rule(name):
        stub_repository(name = name, stub = Label("//tools/repositories/%s:WORKSPACE" % name))

def _stub_repository_impl(repository_ctx):
    source = repository_ctx.path(repository_ctx.attr.stub).dirname
    for entry in source.readdir():
        repository_ctx.symlink(entry, entry.basename)

stub_repository = repository_rule(
    implementation = _stub_repository_impl,
    attrs = {"stub": attr.label(mandatory = True)},
    local = True,
)

def hartloop_workspace():
    """Declares the repositories and registers the toolchains of Hartloop."""
    _stub("rules_cc")
    _stub("rules_java")
    _stub("remote_coverage_tools")
    hartloop_machine(name = "hartloop_machine")
    hartloop_packages(name = "hartloop_packages")
    native.register_toolchains(
        "@hartloop//tools/cc:kernel_toolchain",
        "@hartloop//tools/cc:guest_toolchain",
        "@hartloop//tools/cc:host_toolchain",
    )
