"""The settings that an ablation compares: every switch of the data path, by its boot argument (docs/BOOT.md)."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Setting:
    """A boot with other arguments than usual. `without` says what is missing or different then."""

    without: str
    arguments: str


USUAL = "as usual"
AGAIN = "as usual, again"
WITHOUT_ALL = "without all that can be switched off"
SETTINGS = (
    Setting(USUAL, ""),
    Setting("without EVENT_IDX", "event_idx=0"),
    Setting("without kick coalescing", "kick_coalesce=0"),
    Setting("without EVENT_IDX and kick coalescing", "event_idx=0 kick_coalesce=0"),
    Setting("without TX interrupt suppression", "tx_irq=1"),
    Setting("without RX polling while packets come", "rx_poll=0"),
    Setting("without INDIRECT_DESC", "indirect=0"),
    Setting("without MRG_RXBUF (nor GUEST_TSO)", "mrg_rxbuf=0"),
    Setting("without TX checksum offload (nor TSO)", "csum=0"),
    Setting("without RX checksum offload (nor GUEST_TSO)", "guest_csum=0"),
    Setting("without TSO", "tso=0"),
    Setting("without GUEST_TSO", "guest_tso=0"),
    Setting("without header in headroom", "header_in_headroom=0"),
    Setting("without delayed, piggybacked ACKs", "delayed_ack=0"),
    Setting("without inline completion of calls", "inline=0"),
    Setting("RX budget 1 (usual: 64)", "rx_budget=1"),
    Setting("RX budget 8 (usual: 64)", "rx_budget=8"),
    Setting("RX budget without limit (usual: 64)", "rx_budget=0"),
    Setting("idle polling for 50 µs (usual: none)", "idle_poll_us=50"),
    Setting("idle polling for 1 ms (usual: none)", "idle_poll_us=1000"),
    Setting("time slice 0.1 ms (usual: 2 ms)", "slice_us=100"),
    Setting("time slice 20 ms (usual: 2 ms)", "slice_us=20000"),
    Setting("look at the rings every 200 µs under a computing task (usual: 20)", "backstop_us=200"),
    Setting("look at them every 20 µs under load, too (usual: up to 320)", "stretch_us=20"),
    Setting(WITHOUT_ALL, "event_idx=0 kick_coalesce=0 tx_irq=1 rx_poll=0 indirect=0 mrg_rxbuf=0 csum=0 guest_csum=0 "
            "header_in_headroom=0 delayed_ack=0 inline=0 rx_budget=1 stretch_us=20"),
    Setting(AGAIN, ""),
)
