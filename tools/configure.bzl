"""Repository rules that look at this machine: its compilers, and the packages fetched by `hl setup`."""

def _hartloop_machine_impl(repository_ctx):
    """Writes paths.bzl: where the compilers keep their own headers."""
    paths = {}
    for constant, compiler in [
        ("RISCV_GCC", "riscv64-linux-gnu-gcc"),
        ("HOST_GCC", "gcc"),
    ]:
        program = repository_ctx.which(compiler)
        if not program:
            fail("%s is not installed; run ./hl setup" % compiler)
        result = repository_ctx.execute([program, "-print-file-name=include"])
        if result.return_code != 0:
            fail("%s does not work: %s" % (compiler, result.stderr))
        paths[constant] = str(program)
        paths[constant + "_INCLUDE"] = result.stdout.strip()
    repository_ctx.file("BUILD", "")
    repository_ctx.file("paths.bzl", "".join([
        "%s = %r\n" % (constant, path)
        for constant, path in sorted(paths.items())
    ]))

hartloop_machine = repository_rule(
    implementation = _hartloop_machine_impl,
    environ = ["PATH"],
    local = True,
    configure = True,
)

def _hartloop_packages_impl(repository_ctx):
    """Makes one filegroup per package set recorded by `hl setup` in the cache."""
    cache = repository_ctx.os.environ.get("HL_CACHE", "")
    if cache:
        cache = repository_ctx.path(cache)
    else:
        cache = repository_ctx.path(Label("//:WORKSPACE")).dirname.get_child(".hl")
    packages = cache.get_child("packages")
    record = packages.get_child("record.json")
    if not record.exists:
        fail("no Debian packages in %s; run ./hl setup first" % packages)
    if not repository_ctx.os.environ.get("HL_CACHE", ""):
        repository_ctx.path(Label("//:.hl/packages/record.json"))  # named so, it is looked at again when it changes
    repository_ctx.symlink(packages.get_child("debs"), "debs")
    repository_ctx.symlink(record, "record.json")
    sets = json.decode(repository_ctx.read(record))["sets"]
    lines = ['package(default_visibility = ["//visibility:public"])', 'exports_files(["record.json"])']
    for name, files in sorted(sets.items()):
        lines.append("filegroup(name = %r, srcs = %r)" % (name, ["debs/" + f for f in files]))
    host = {f: None for name in ("busybox", "linux", "nested") for f in sets.get(name, [])}
    lines.append("filegroup(name = 'nested_host', srcs = %r)" % ["debs/" + f for f in host])
    repository_ctx.file("BUILD", "\n".join(lines) + "\n")

hartloop_packages = repository_rule(
    implementation = _hartloop_packages_impl,
    environ = ["HL_CACHE"],
    local = True,
)
