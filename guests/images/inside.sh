# Servers and their clients in one machine, over 127.0.0.1. Each line that comes through the pipe /tmp/clients is one round of
# work; /srv/rounds tells httpd's clients how many are done. A client that fails ends the machine.
busybox mkfifo /tmp/clients
redis-server --bind 127.0.0.1 --dir /tmp --save '' >/dev/null &
iperf3 -s >/dev/null &
rounds=0
while read -r _ </tmp/clients; do
    redis-benchmark -h 127.0.0.1 -n 2000 -q -t set,get,lpush,lpop >/tmp/out || exit 1
    redis-benchmark -h 127.0.0.1 -n 10000 -P 16 -q -t set,get >/tmp/out || exit 1
    redis-cli -h 127.0.0.1 ltrim mylist 0 9 >/tmp/out || exit 1
    wrk -t 1 -c 5 -d 1s http://127.0.0.1:8080/page.html >/tmp/out || exit 1
    busybox grep 'Socket errors\|Non-2xx' /tmp/out && exit 1
    iperf3 -c 127.0.0.1 -t 1 -b 200M >/tmp/out || exit 1
    busybox wget -q -O /tmp/out http://127.0.0.1:8080/page.html || exit 1
    busybox cmp /tmp/out /srv/page.html || exit 1
    busybox ping -c 1 127.0.0.1 >/tmp/out || exit 1
    rounds=$((rounds + 1))
    echo $rounds >/srv/rounds
done
