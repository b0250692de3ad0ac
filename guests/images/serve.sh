# Busybox's httpd beside a program: /cgi-bin/counters on port 8080 tells what the kernel counts.
busybox httpd -p 8080 -h /srv
exec "$@"
