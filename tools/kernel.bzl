"""kernel_binary: links the kernel's libraries into an ELF file and a flat Image."""

load("//tools:transitions.bzl", "kernel_transition")

# Options for code that runs once; see core/BUILD.
RUN_ONCE = ["-Os"]

def _kernel_binary_impl(ctx):
    archives = []
    for dep in ctx.attr.deps:
        for linker_input in dep[CcInfo].linking_context.linker_inputs.to_list():
            for library in linker_input.libraries:
                archive = library.static_library or library.pic_static_library
                if archive and archive not in archives:
                    archives.append(archive)
    elf = ctx.actions.declare_file(ctx.label.name + ".elf")
    image = ctx.actions.declare_file(ctx.label.name + ".image")
    script = ctx.file.linker_script
    arguments = ctx.actions.args()
    arguments.add("--script", script)
    inputs = archives + [script, ctx.file._linker]
    if ctx.file.symbols:
        arguments.add("--symbols", ctx.file.symbols)
        inputs.append(ctx.file.symbols)
    arguments.add("--elf", elf)
    arguments.add("--image", image)
    arguments.add_all(archives)
    ctx.actions.run(
        executable = "/usr/bin/python3",
        arguments = ["-B", ctx.file._linker.path, arguments],
        inputs = inputs,
        outputs = [elf, image],
        mnemonic = "KernelLink",
        progress_message = "Linking the kernel %s" % elf.short_path,
        env = {"PATH": "/usr/bin:/bin"},
    )
    return [
        DefaultInfo(files = depset([elf, image]), runfiles = ctx.runfiles([elf, image])),
        OutputGroupInfo(elf = depset([elf]), image = depset([image])),
    ]

kernel_binary = rule(
    implementation = _kernel_binary_impl,
    doc = """Links every object of `deps` (cc_library targets, built for the kernel's platform)
into NAME.elf and NAME.image, the same as a flat file.""",
    attrs = {
        "deps": attr.label_list(providers = [CcInfo], cfg = kernel_transition),
        "linker_script": attr.label(allow_single_file = True, mandatory = True),
        "symbols": attr.label(
            allow_single_file = True,
            doc = "A Python program that turns the output of nm -n into the assembly of a symbol table.",
        ),
        "_linker": attr.label(default = "//tools:link_kernel.py", allow_single_file = True),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
)
