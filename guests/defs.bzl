"""Rules for programs that run inside Hartloop: guest_binary, guest_image, guest_test.

Usable from any workspace that includes Hartloop; see guests/README.md.
"""

load("//tools:transitions.bzl", "guest_transition")

_ALLOWLIST = attr.label(default = "@bazel_tools//tools/allowlists/function_transition_allowlist")

# What accel = "kvm" takes on a machine without KVM for riscv64, and whether HL_TEST_ACCEL asks for it.
_NESTED_HOST = str(Label("//tools:nested_host"))
_ACCEL_KVM = str(Label("//tools:test_accel_kvm"))

GuestImageInfo = provider(
    doc = "A guest image.",
    fields = {
        "archive": "the cpio archive",
        "manifest": "JSON: program, args, env, ports",
    },
)

GuestTestInfo = provider(
    doc = "A guest_test.",
    fields = {"spec": "JSON that tools/guest_test.py reads"},
)

def _program_impl(ctx):
    built = ctx.attr.binary[0][DefaultInfo].files_to_run.executable
    output = ctx.actions.declare_file(ctx.attr.filename)
    ctx.actions.symlink(output = output, target_file = built, is_executable = True)
    return [DefaultInfo(files = depset([output]), executable = output)]

_program = rule(
    implementation = _program_impl,
    attrs = {
        "binary": attr.label(mandatory = True, cfg = guest_transition),
        "filename": attr.string(mandatory = True),
        "_allowlist_function_transition": _ALLOWLIST,
    },
    executable = True,
)

def guest_binary(name, srcs, deps = [], copts = [], visibility = None, **kwargs):
    """A C program for the guest: riscv64 Linux, static glibc. `bazel build` of it makes the file NAME."""
    native.cc_binary(
        name = name + "_riscv64",
        srcs = srcs,
        copts = copts,
        tags = ["manual"],
        target_compatible_with = [Label("//tools/platforms:hartloop_guest")],
        deps = deps,
        visibility = ["//visibility:private"],
        **kwargs
    )
    _program(
        name = name,
        binary = name + "_riscv64",
        filename = name,
        visibility = visibility,
    )

def _guest_image_impl(ctx):
    archive = ctx.actions.declare_file(ctx.label.name + ".cpio")
    manifest = ctx.actions.declare_file(ctx.label.name + ".json")
    arguments = ctx.actions.args()
    arguments.use_param_file("@%s", use_always = True)
    arguments.set_param_file_format("multiline")
    inputs = list(ctx.files.debs)
    arguments.add("--output", archive)
    arguments.add("--program", ctx.attr.program)
    for deb in ctx.files.debs:
        whole = not ctx.attr.roots or deb.basename.split("_")[0] in ctx.attr.roots
        arguments.add("--package" if whole else "--library", deb)
    for target, path in ctx.attr.files.items():
        files = target[DefaultInfo].files.to_list()
        if len(files) != 1:
            fail("files: %s is %d files; the key of a path must be one" % (target.label, len(files)))
        inputs += files
        arguments.add("--file", "%s=%s" % (path, files[0].path))
    for pattern in ctx.attr.keep:
        arguments.add("--keep", pattern)
    for pattern in ctx.attr.drop:
        arguments.add("--drop", pattern)
    if ctx.file._record:
        arguments.add("--record", ctx.file._record)
        inputs.append(ctx.file._record)
    ctx.actions.run(
        executable = "/usr/bin/python3",
        arguments = ["-B", ctx.file._mkimage.path, arguments],
        inputs = inputs + [ctx.file._mkimage] + ctx.files._libraries,
        outputs = [archive],
        env = {"PATH": "/usr/bin:/bin"},
        mnemonic = "GuestImage",
        progress_message = "Making the guest image %s" % archive.short_path,
    )
    ctx.actions.write(manifest, struct(
        name = ctx.label.name,
        program = ctx.attr.program,
        args = ctx.attr.args_,
        env = ctx.attr.env,
        ports = ctx.attr.ports,
    ).to_json())
    return [
        DefaultInfo(files = depset([archive, manifest]), runfiles = ctx.runfiles([archive, manifest])),
        GuestImageInfo(archive = archive, manifest = manifest),
    ]

_guest_image = rule(
    implementation = _guest_image_impl,
    attrs = {
        "program": attr.string(mandatory = True),
        "args_": attr.string_list(),
        "env": attr.string_list(),
        "ports": attr.int_list(),
        "debs": attr.label_list(allow_files = [".deb"]),
        "roots": attr.string_list(),
        "files": attr.label_keyed_string_dict(allow_files = True),
        "keep": attr.string_list(),
        "drop": attr.string_list(),
        "_mkimage": attr.label(default = "//tools:mkimage.py", allow_single_file = True),
        "_libraries": attr.label(default = "//tools:image_libraries"),
        "_record": attr.label(default = "@hartloop_packages//:record.json", allow_single_file = True),
    },
)

def guest_image(name, program, args = [], env = [], debs = [], roots = [], files = {}, keep = [], drop = [], ports = [], **kwargs):
    """A root file system with a program to run: NAME.cpio and NAME.json.

    Args:
      name: the target's name.
      program: absolute path, in the image, of the program that the kernel starts.
      args: its arguments.
      env: its environment, as NAME=VALUE.
      debs: Debian packages (.deb files, or filegroups of them such as @hartloop_packages//:redis).
      roots: names of the packages in debs that go in whole. Of the others only the shared
        libraries that are needed. Empty: all go in whole.
      files: path in the image -> label of the file that is put there.
      keep, drop: patterns of packaged files to keep although they are usually left out, or to
        leave out although they are usually kept.
      ports: TCP and UDP ports that the program serves.
      **kwargs: visibility, tags, testonly.
    """
    _guest_image(
        name = name,
        program = program,
        args_ = args,
        env = env,
        debs = debs,
        roots = roots,
        files = {label: path for path, label in files.items()},
        keep = keep,
        drop = drop,
        ports = ports,
        **kwargs
    )

def _runner_script(ctx, arguments):
    """What runs tools/guest_test.py with arguments."""
    runner = [f for f in ctx.files._runner if f.basename == "guest_test.py"][0]
    script = ctx.actions.declare_file(ctx.label.name + ".sh")
    ctx.actions.write(
        script,
        "#!/bin/sh\nexec /usr/bin/python3 -B %s %s\n" % (runner.short_path, " ".join(arguments)),
        is_executable = True,
    )
    return script

def _guest_test_impl(ctx):
    kernel = [f for f in ctx.files.kernel if f.extension == ("image" if ctx.attr.flat_kernel else "elf")][0]
    files = [kernel] + ctx.files._runner + ctx.files.nested_host + ctx.files.data
    spec = {
        "name": ctx.label.name,
        "kernel": kernel.short_path,
        "image": "",
        "manifest": "",
        "program": ctx.attr.program,
        "args": ctx.attr.args_,
        "override_args": ctx.attr.override_args,
        "env": ctx.attr.env_,
        "expect_exit": ctx.attr.expect_exit,
        "expect_stdout": ctx.attr.expect_stdout,
        "expect_stdout_file": "",
        "net": ctx.attr.net,
        "ip": ctx.attr.ip,
        "ports": ctx.attr.ports,
        "harts": ctx.attr.harts,
        "memory": ctx.attr.memory,
        "transport": ctx.attr.transport,
        "accel": ctx.attr.accel,
        "aia": ctx.attr.aia,
        "vhost": ctx.attr.vhost,
        "cpu": ctx.attr.cpu,
        "counted_clock": ctx.attr.counted_clock,
        "append": ctx.attr.append,
        "host_script": "",
        "device_tree": ctx.file.device_tree.short_path if ctx.file.device_tree else "",
        "check_script": "",
        "check_args": ctx.attr.check_args,
        "seconds": ctx.attr.seconds,
        "gdb": ctx.attr.gdb,
        "rival": ctx.attr.rival,
    }
    if ctx.attr.image:
        info = ctx.attr.image[GuestImageInfo]
        spec["image"] = info.archive.short_path
        spec["manifest"] = info.manifest.short_path
        files += [info.archive, info.manifest]
    if ctx.file.device_tree:
        files.append(ctx.file.device_tree)
    if ctx.file.raw_image:
        spec["image"] = ctx.file.raw_image.short_path
        files.append(ctx.file.raw_image)
    if ctx.file.expect_stdout_file:
        spec["expect_stdout_file"] = ctx.file.expect_stdout_file.short_path
        files.append(ctx.file.expect_stdout_file)
    if ctx.file.host_script:
        spec["host_script"] = ctx.file.host_script.short_path
        files.append(ctx.file.host_script)
    if ctx.file.check_script:
        spec["check_script"] = ctx.file.check_script.short_path
        files.append(ctx.file.check_script)
    spec_file = ctx.actions.declare_file(ctx.label.name + ".spec.json")
    ctx.actions.write(spec_file, struct(**spec).to_json())
    return [
        DefaultInfo(executable = _runner_script(ctx, [spec_file.short_path]), runfiles = ctx.runfiles(files + [spec_file])),
        GuestTestInfo(spec = spec_file),
    ]

_guest_test = rule(
    implementation = _guest_test_impl,
    test = True,
    attrs = {
        "kernel": attr.label(default = "//:hartloop"),
        "flat_kernel": attr.bool(),
        "image": attr.label(providers = [GuestImageInfo]),
        "raw_image": attr.label(allow_single_file = True),
        "program": attr.string(),
        "args_": attr.string_list(),
        "override_args": attr.bool(),
        "env_": attr.string_list(),
        "expect_exit": attr.string(),
        "expect_stdout": attr.string_list(),
        "expect_stdout_file": attr.label(allow_single_file = True),
        "net": attr.string(values = ["none", "user", "peer"]),
        "ip": attr.string(),
        "ports": attr.int_list(),
        "harts": attr.int(default = 1),
        "memory": attr.string(default = "128M"),
        "transport": attr.string(default = "mmio", values = ["mmio", "pci"]),
        "accel": attr.string(default = "tcg", values = ["tcg", "kvm"]),
        "aia": attr.string(default = "plic", values = ["plic", "aia"]),
        "vhost": attr.bool(default = True),
        "nested_host": attr.label(allow_files = True),
        "cpu": attr.string(),
        "counted_clock": attr.bool(),
        "device_tree": attr.label(allow_single_file = True),
        "append": attr.string(),
        "host_script": attr.label(allow_single_file = [".py"]),
        "check_script": attr.label(allow_single_file = [".py"]),
        "check_args": attr.string_list(),
        "data": attr.label_list(allow_files = True),
        "seconds": attr.int(default = 50),
        "gdb": attr.bool(),
        "rival": attr.bool(),
        "_runner": attr.label(default = "//tools:guest_test_runner"),
    },
)

def guest_test(
        name,
        image = None,
        binary = None,
        raw_image = None,
        program = "",
        args = None,
        env = [],
        expect_exit = 0,
        expect_stdout = None,
        net = "none",
        ip = "",
        ports = [],
        harts = 1,
        memory = "128M",
        transport = "mmio",
        accel = "tcg",
        aia = "plic",
        vhost = True,
        cpu = "",
        counted_clock = False,
        device_tree = None,
        flat_kernel = False,
        append = "",
        host_script = None,
        check_script = None,
        check_args = [],
        data = [],
        seconds = 50,
        gdb = False,
        rival = False,
        tags = [],
        size = "medium",
        **kwargs):
    """Boots the kernel with a program in a virtual machine and checks how it ends.

    Args:
      name: the target's name.
      image: a guest_image; or
      binary: a guest_binary (or any one file with a static riscv64 program), put at /bin/test; or
      raw_image: a file handed to the kernel as its initial root as it is.
      program: run this instead of the image's program.
      args: arguments instead of the image's.
      env: NAME=VALUE, added to the image's.
      expect_exit: the exit status: a number, "panic", or None when the test ends with host_script.
      expect_stdout: a list of texts that the console must show, each once at least, or the label
        of a file that the console must equal, the kernel's own log lines aside.
      net: "none"; "user": ports are forwarded to free ports of 127.0.0.1; "peer": the guest's
        Ethernet frames go to host_script through UDP (see tools/hostside.py).
      ip: ADDR/LEN,GATEWAY or dhcp instead of 10.0.2.15/24,10.0.2.2.
      ports: guest ports to forward, instead of the image's.
      harts, memory, transport, accel, aia, vhost, append: as the options of hl run. With
        accel = "kvm" every time limit is four times as long. --test_env=HL_TEST_ACCEL=kvm
        runs every test so.
      cpu: a CPU model of QEMU's, such as rva22s64, instead of its default. With KVM the model
        is the host's, and only the switches behind it count.
      counted_clock: the guest's clock counts its instructions, and jumps to the next timer when it
        idles: how busy the host is makes no difference, and waiting takes no time. For programs
        that wait for nobody outside. Not under KVM.
      flat_kernel: the kernel as a flat image, which QEMU puts where the memory begins, or behind
        the firmware, instead of the ELF file, which says where it belongs.
      device_tree: a file that the machine gets instead of QEMU's own device tree.
      host_script: a Python script that runs on the host while the guest does; it finds ports and
        files through tools/hostside.py. The test fails unless it exits 0.
      check_script: a Python script that gets what the program printed on its standard input, with
        check_args as arguments, when the machine has ended as expected. Unless it exits 0 the test
        fails with its output.
      data: files for host_script and check_script.
      seconds: a guest or script still running then is a failure.
      gdb: the machine waits for host_script to drive it through hostside.Debugger.
      rival: in the nested host a program that computes without end shares a hart with the guest.
      tags, size, **kwargs: as for any test.
    """
    if binary:
        if image or raw_image:
            fail("guest_test takes one of image, binary and raw_image")
        image = name + "_image"
        guest_image(
            name = image,
            program = "/bin/test",
            files = {"/bin/test": binary},
            testonly = True,
        )
    output_file = None
    if type(expect_stdout) == "string":
        output_file = expect_stdout
        expect_stdout = []
    _guest_test(
        name = name,
        image = image,
        raw_image = raw_image,
        program = program,
        args_ = args or [],
        override_args = args != None,
        env_ = env,
        expect_exit = "" if expect_exit == None else str(expect_exit),
        expect_stdout = expect_stdout or [],
        expect_stdout_file = output_file,
        net = net,
        ip = ip,
        ports = ports,
        harts = harts,
        memory = memory,
        transport = transport,
        accel = accel,
        aia = aia,
        vhost = vhost,
        nested_host = _NESTED_HOST if accel == "kvm" else select({
            _ACCEL_KVM: _NESTED_HOST,
            "//conditions:default": None,
        }),
        cpu = cpu,
        counted_clock = counted_clock,
        device_tree = device_tree,
        flat_kernel = flat_kernel,
        append = append,
        host_script = host_script,
        check_script = check_script,
        check_args = check_args,
        data = data,
        seconds = seconds,
        gdb = gdb,
        rival = rival,
        size = size,
        tags = tags + ["vm"],
        **kwargs
    )

def _guest_kvm_test_impl(ctx):
    suite_file = ctx.actions.declare_file(ctx.label.name + ".suite.json")
    ctx.actions.write(suite_file, struct(
        suite = [test[GuestTestInfo].spec.short_path for test in ctx.attr.tests],
        machine = struct(accel = "kvm", aia = ctx.attr.aia, transport = ctx.attr.transport),
    ).to_json())
    runfiles = ctx.runfiles(ctx.files._runner + ctx.files._nested_host + [suite_file])
    for test in ctx.attr.tests:
        runfiles = runfiles.merge(test[DefaultInfo].default_runfiles)
    return [DefaultInfo(executable = _runner_script(ctx, [suite_file.short_path]), runfiles = runfiles)]

guest_kvm_test = rule(
    doc = """Runs guest_tests under KVM, one after another in one nested host, and says how each ended.

    aia, transport: what every machine has; empty: what its test asks for.
    """,
    implementation = _guest_kvm_test_impl,
    test = True,
    attrs = {
        "tests": attr.label_list(mandatory = True, providers = [GuestTestInfo]),
        "aia": attr.string(values = ["", "plic", "aia"]),
        "transport": attr.string(values = ["", "mmio", "pci"]),
        "_nested_host": attr.label(default = "//tools:nested_host"),
        "_runner": attr.label(default = "//tools:guest_test_runner"),
    },
)

def guest_tests_above(but):
    """The names of the guest_tests of the BUILD file so far that a host with KVM can run: without a debugger, with its own CPU."""
    return [
        name
        for name, test in native.existing_rules().items()
        if test["kind"] == "_guest_test" and not test["gdb"] and not test["cpu"] and name not in but
    ]
