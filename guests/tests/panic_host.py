"""Makes the kernel jump to nowhere while it resolves a page fault of the program; reads its last words."""

import re

import hostside

NOWHERE = 8


def main():
    debugger = hostside.Debugger()
    debugger.run_to(hostside.kernel_symbol("trap_user"))
    debugger.run_to(hostside.kernel_symbol("fault_other"))
    debugger.set_register(hostside.Debugger.PC, NOWHERE)
    debugger.go_on()
    hostside.wait_for_console("current task 1:")
    functions = re.findall(r"[0-9a-f]{16} (\w+)\+0x", hostside.console())
    print("named in the backtrace:", functions)
    hostside.check("user_fault" in functions, "the backtrace does not lead to user_fault")


if __name__ == "__main__":
    main()
