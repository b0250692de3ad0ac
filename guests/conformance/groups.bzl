"""The groups of cases: one program each. conformance.py reads this too, so it is plain data.

The key is the program's name and that of its recorded output in linux/; the value its C files.
"""

GROUPS = {
    "accept": ["accept.c", "accept_backlog.c"],
    "addresses": ["addresses.c"],
    "connect": ["connect.c", "connect_places.c", "connect_udp.c"],
    "data": ["data.c", "data_files.c", "data_urgent.c", "data_waits.c"],
    "datagram": ["datagram.c", "datagram_control.c", "datagram_many.c"],
    "readiness": [
        "readiness.c",
        "readiness.h",
        "readiness_files.c",
        "readiness_poll.c",
        "readiness_select.c",
        "readiness_tcp.c",
        "readiness_unix.c",
        "readiness_wake.c",
    ],
}
