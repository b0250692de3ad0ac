#!/usr/bin/busybox sh
# For busybox httpd, as a CGI program: what the kernel counts, so that a host sees whether memory and descriptors stay.
# A question goes on to the clients of inside.sh.
[ -z "$QUERY_STRING" ] || echo "$QUERY_STRING" >/tmp/clients
printf 'Content-Type: text/plain\r\n\r\n'
cat /proc/meminfo /proc/net/sockstat
busybox grep ' 0A ' /proc/net/tcp
for directory in /proc/[0-9]*; do
    read -r name 2>/dev/null <$directory/comm || continue
    read -r _ resident _ 2>/dev/null <$directory/statm || continue
    anonymous=$(busybox awk '/^Anonymous:/ { sum += $2 } END { print sum + 0 }' $directory/smaps)
    set -- $directory/fd/*
    echo "process ${directory#/proc/} $name $# $resident $anonymous"
done
