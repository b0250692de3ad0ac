#!/bin/busybox sh
# The init of the nested host (tools/nested.py): a Linux with KVM that runs QEMU for the launcher outside.
#
# Over the port `control` the launcher writes names of shell scripts, a line each, that lie in the directory shared
# with it. Each is run in the background with its output in NAME.out; when it ends, "NAME STATUS" is the answer.
# Each network card is bridged to an interface tapN, and has no address: guests are reached as if they were outside.
/bin/busybox mount -t devtmpfs dev /dev
exec 2>/dev/console
/bin/busybox --install -s /bin || /bin/busybox poweroff -f
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
mount -t debugfs debug /sys/kernel/debug
until [ -c /dev/vport0p1 ]; do usleep 5000; done
exec 3<>/dev/vport0p1
echo "kernel $(uname -r)" >&3
while read -r module; do insmod "/modules/$module.ko"; done </modules/order
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288 share /hl
echo 1 >/proc/sys/vm/overcommit_memory
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
ip link set lo up
number=0
while [ -e "/sys/class/net/eth$number" ]; do
    brctl addbr "br$number"
    tunctl -t "tap$number" >/dev/null
    for port in "eth$number" "tap$number"; do
        echo 1 >"/proc/sys/net/ipv6/conf/$port/disable_ipv6"
        ip link set "$port" qlen 10000
        brctl addif "br$number" "$port"
        ip link set "$port" up
    done
    ip link set "br$number" up
    number=$((number + 1))
done
[ -c /dev/kvm ] && cd /hl || poweroff -f
echo "ready" >&3
# Until the launcher's end of the port is known here, reading finds the end of the file.
tries=0
until read -r name <&3; do
    tries=$((tries + 1))
    [ $tries -lt 1000 ] || poweroff -f
    usleep 5000
done
while read -r name <&3; do
    (
        sh "$name" >"$name.out" 2>&1 3>&- </dev/null
        echo "$name $?" >&3
    ) &
done
poweroff -f # the launcher is gone
