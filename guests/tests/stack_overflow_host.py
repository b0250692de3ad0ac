"""Uses up the kernel's stack in a call that follows thousands of others, and reads the last words: what happened, and the newest of
the trace records, of which there were more than the ring holds."""

import re

import hostside

SP = 2  # gdb's number of the stack pointer
GUARD_BYTES = 4096
SHOWN = 32  # TRACE_SHOWN, core/panic.c
GETPPID, TIMES = 173, 153  # numbers of calls, as records show them: in hexadecimal


def main():
    debugger = hostside.Debugger()
    debugger.run_to(hostside.kernel_symbol("trap_user"))
    debugger.run_to(hostside.kernel_symbol("sys_times"))
    debugger.set_register(SP, hostside.kernel_symbol("boot_stack_guard") + GUARD_BYTES)
    debugger.go_on()
    hostside.wait_for_console("pending 0x")
    console = hostside.console()
    records = re.findall(r"hart 0 +(\d+) us (\w+) +([0-9a-f]+) [0-9a-f]+", console)
    hostside.check(len(records) == SHOWN, f"{len(records)} records are shown")
    times = [int(time) for time, _, _ in records]
    hostside.check(times == sorted(times), "the records are not in the order of time")
    calls = [int(number, 16) for _, event, number in records if event == "syscall"]
    hostside.check(calls[-1] == TIMES and set(calls[:-1]) == {GETPPID}, f"the last calls are {calls}")


if __name__ == "__main__":
    main()
