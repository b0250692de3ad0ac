"""One C toolchain per machine: the kernel, the guest's programs, the host's unit tests."""

load(
    "@bazel_tools//tools/build_defs/cc:action_names.bzl",
    "ACTION_NAMES",
)
load(
    "@bazel_tools//tools/cpp:cc_toolchain_config_lib.bzl",
    "feature",
    "flag_group",
    "flag_set",
    "tool_path",
)

_COMPILE = [
    ACTION_NAMES.assemble,
    ACTION_NAMES.preprocess_assemble,
    ACTION_NAMES.c_compile,
    ACTION_NAMES.cpp_compile,
]
_C = [ACTION_NAMES.c_compile]
_LINK = [
    ACTION_NAMES.cpp_link_executable,
    ACTION_NAMES.cpp_link_dynamic_library,
    ACTION_NAMES.cpp_link_nodeps_dynamic_library,
]

def _flags(name, actions, flags):
    flag_sets = [flag_set(actions = actions, flag_groups = [flag_group(flags = flags)])] if flags else []
    return feature(name = name, enabled = True, flag_sets = flag_sets)

def _config_impl(ctx):
    prefix = ctx.attr.tool_prefix
    tools = {"gcc": "gcc", "ld": "ld", "ar": "ar", "cpp": "cpp", "gcov": "gcov", "nm": "nm", "objdump": "objdump", "strip": "strip", "objcopy": "objcopy"}
    compile_flags = list(ctx.attr.compile_flags)
    include_directories = list(ctx.attr.builtin_include_directories)
    if ctx.files.libc_headers:
        libc = ctx.files.libc_headers[0].dirname
        compile_flags += ["-isystem", libc]
    return cc_common.create_cc_toolchain_config_info(
        ctx = ctx,
        toolchain_identifier = ctx.label.name,
        host_system_name = "local",
        target_system_name = ctx.attr.machine,
        target_cpu = ctx.attr.machine,
        target_libc = "unknown",
        compiler = "gcc",
        abi_version = "unknown",
        abi_libc_version = "unknown",
        cxx_builtin_include_directories = include_directories,
        tool_paths = [tool_path(name = n, path = prefix + t) for n, t in tools.items()],
        features = [
            feature(name = "supports_pic", enabled = ctx.attr.pic),
            feature(name = "static_link_cpp_runtimes", enabled = False),
            _flags("machine_compile_flags", _COMPILE, compile_flags),
            _flags("machine_c_flags", _C, ["-std=gnu17"]),
            _flags("machine_link_flags", _LINK, ctx.attr.link_flags),
            # Builds are reproducible: no dates, no paths of this machine's output tree.
            _flags("reproducible", _COMPILE, [
                "-fno-canonical-system-headers",
                "-no-canonical-prefixes",
                "-Wno-builtin-macro-redefined",
                "-D__DATE__=\"redacted\"",
                "-D__TIMESTAMP__=\"redacted\"",
                "-D__TIME__=\"redacted\"",
            ]),
        ],
    )

cc_toolchain_config = rule(
    implementation = _config_impl,
    attrs = {
        "machine": attr.string(mandatory = True),
        "tool_prefix": attr.string(mandatory = True),
        "compile_flags": attr.string_list(),
        "link_flags": attr.string_list(),
        "builtin_include_directories": attr.string_list(),
        "libc_headers": attr.label(allow_files = True),
        "pic": attr.bool(),
    },
    provides = [CcToolchainConfigInfo],
)

def machine_toolchain(name, machine, libc_headers = None, **kwargs):
    """Declares the config, the cc_toolchain and the toolchain `<name>_toolchain`."""
    cc_toolchain_config(
        name = name + "_config",
        machine = machine,
        libc_headers = libc_headers,
        **kwargs
    )
    native.filegroup(
        name = name + "_files",
        srcs = [libc_headers] if libc_headers else [],
    )
    native.cc_toolchain(
        name = name + "_cc",
        all_files = name + "_files",
        ar_files = name + "_files",
        as_files = name + "_files",
        compiler_files = name + "_files",
        dwp_files = name + "_files",
        linker_files = name + "_files",
        objcopy_files = name + "_files",
        strip_files = name + "_files",
        supports_param_files = 1,
        toolchain_config = name + "_config",
        toolchain_identifier = name + "_config",
    )
    native.toolchain(
        name = name + "_toolchain",
        target_compatible_with = ["//tools/platforms:" + machine],
        toolchain = name + "_cc",
        toolchain_type = "@bazel_tools//tools/cpp:toolchain_type",
    )
