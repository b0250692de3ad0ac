"""Configuration transitions to the machines that are not this one.

Both ways in which Bazel 4 chooses a C toolchain are set: by platform (which this workspace's
.bazelrc turns on) and by --crosstool_top (the default elsewhere), so that a workspace that
includes Hartloop needs no flags of its own.
"""

_OUTPUTS = [
    "//command_line_option:platforms",
    "//command_line_option:crosstool_top",
    "//command_line_option:cpu",
    "//command_line_option:compilation_mode",
]

def _settings_for(machine):
    return {
        "//command_line_option:platforms": [str(Label("//tools/platforms:" + machine))],
        "//command_line_option:crosstool_top": str(Label("//tools/cc:suite")),
        "//command_line_option:cpu": "hartloop_" + machine,
        "//command_line_option:compilation_mode": "fastbuild",
    }

def _kernel_impl(_settings, _attr):
    return _settings_for("kernel")

def _guest_impl(_settings, _attr):
    return _settings_for("guest")

kernel_transition = transition(implementation = _kernel_impl, inputs = [], outputs = _OUTPUTS)
guest_transition = transition(implementation = _guest_impl, inputs = [], outputs = _OUTPUTS)
