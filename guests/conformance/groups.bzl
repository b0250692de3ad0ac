"""The groups of cases: one program each. conformance.py reads this too, so it is plain data.

The key is the program's name and that of its recorded output in linux/; the value its C files.
"""

GROUPS = {
    "accept": ["accept.c", "accept_backlog.c"],
    "addresses": [
        "addresses.c",
        "addresses_errors.c",
        "addresses_owners.c",
        "addresses_states.c",
    ],
    "connect": ["connect.c", "connect_places.c", "connect_udp.c"],
    "data": [
        "data.c",
        "data_files.c",
        "data_transfers.c",
        "data_urgent.c",
        "data_waits.c",
    ],
    "datagram": ["datagram.c", "datagram_control.c", "datagram_many.c"],
    "ending": [
        "ending.h",
        "ending_descriptors.c",
        "ending_shared.c",
        "ending_tcp.c",
    ],
    "options": [
        "options.h",
        "options_effects.c",
        "options_ioctl.c",
        "options_ip.c",
        "options_peek.c",
        "options_rare.c",
        "options_shared.c",
        "options_socket.c",
        "options_tcp.c",
        "options_udp.c",
        "options_zerocopy.c",
    ],
    "interfaces": ["interfaces.c", "netlink.c", "options.h", "options_shared.c"],
    "multicast": ["multicast.c"],
    "descriptors": [
        "descriptors_async.c",
        "descriptors_async.h",
        "descriptors_async_events.c",
        "descriptors_async_shared.c",
        "descriptors_events.c",
        "descriptors_kinds.c",
        "descriptors_pipes.c",
        "descriptors_seals.c",
        "descriptors_table.c",
    ],
    "epoll": [
        "epoll_edges.c",
        "epoll_items.c",
        "epoll_sets.c",
        "epoll_sets.h",
        "epoll_waits.c",
    ],
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
    "signals": [
        "signals.h",
        "signals_calls.c",
        "signals_clock.c",
        "signals_delivery.c",
        "signals_shared.c",
        "signals_sockets.c",
    ],
    "procnet": ["procnet.c", "procnet_machine.c"],
    "pidfd": [
        "pidfd.c",
        "pidfd.h",
        "pidfd_calls.c",
        "pidfd_shared.c",
        "pidfd_sockets.c",
    ],
    "island": ["island.c"],
    "limits": ["limits_files.c", "limits_memory.c", "limits_process.c"],
    "wire": [
        "wire.c",
        "wire.h",
        "wire_flood.c",
        "wire_resets.c",
    ],
    "unix": [
        "unix.h",
        "unix_data.c",
        "unix_messages.c",
        "unix_names.c",
        "unix_shared.c",
        "unix_urgent.c",
    ],
}

# On these groups' wire there is nobody but the machines of wire_peer.py; the value is ip=.
WIRES = {
    "island": "10.0.2.15/24",
    "wire": "10.0.2.15/24,10.0.2.2",
}
