/**
 * The script of `uipvs compare`, in the network of the lab: the service 192.168.1.120, three servers behind it. It asks
 * for what ought to be the same on every run: who answers in which order, what is listed, what is refused and how.
 * Packets of TCP connections are not counted, since acknowledgements may be combined; those of UDP are.
 */
export const SHIPPED_SCRIPT = `# Nothing there yet
ipvsadm -Ln
ipvsadm -L --timeout

# Turns
ipvsadm -A -t 192.168.1.120:80 -s rr
ipvsadm -a -t 192.168.1.120:80 -r 192.168.1.11:80 -m
ipvsadm -a -t 192.168.1.120:80 -r 192.168.1.12:80 -m
ipvsadm -a -t 192.168.1.120:80 -r 192.168.1.13:80 -m
tcp 192.168.1.120:80 7
wait 1
ipvsadm -Ln
ipvsadm -Lnc

# Weights
ipvsadm -E -t 192.168.1.120:80 -s wrr
ipvsadm -e -t 192.168.1.120:80 -r 192.168.1.11:80 -m -w 3
ipvsadm -e -t 192.168.1.120:80 -r 192.168.1.13:80 -m -w 0
tcp 192.168.1.120:80 8

# By load, by address
ipvsadm -E -t 192.168.1.120:80 -s wlc
tcp 192.168.1.120:80 6
ipvsadm -E -t 192.168.1.120:80 -s lc
tcp 192.168.1.120:80 5
ipvsadm -E -t 192.168.1.120:80 -s sed
tcp 192.168.1.120:80 4
ipvsadm -E -t 192.168.1.120:80 -s nq
tcp 192.168.1.120:80 4
ipvsadm -E -t 192.168.1.120:80 -s sh
tcp 192.168.1.120:80 2
ipvsadm -E -t 192.168.1.120:80 -s dh
tcp 192.168.1.120:80 2
ipvsadm -E -t 192.168.1.120:80 -s mh -b mh-fallback
tcp 192.168.1.120:80 2
ipvsadm -E -t 192.168.1.120:80 -s fo
tcp 192.168.1.120:80 2
ipvsadm -E -t 192.168.1.120:80 -s ovf
tcp 192.168.1.120:80 3
ipvsadm -Ln --thresholds

# Persistence, and a server that takes no new clients
ipvsadm -E -t 192.168.1.120:80 -s rr -p 300
tcp 192.168.1.120:80 3
wait 1
ipvsadm -Lnc
ipvsadm -Ln --persistent-conn
ipvsadm -E -t 192.168.1.120:80 -s rr
ipvsadm -e -t 192.168.1.120:80 -r 192.168.1.11:80 -m -w 0
ipvsadm -e -t 192.168.1.120:80 -r 192.168.1.12:80 -m -w 0
tcp 192.168.1.120:80
ipvsadm -e -t 192.168.1.120:80 -r 192.168.1.12:80 -m -x 4 -y 2
ipvsadm -Ln --thresholds

# Datagrams, each counted
ipvsadm -A -u 192.168.1.120:53 -s rr
ipvsadm -a -u 192.168.1.120:53 -r 192.168.1.11:80 -m
ipvsadm -a -u 192.168.1.120:53 -r 192.168.1.12:80 -m
udp 192.168.1.120:53 4
wait 5
ipvsadm -Ln --stats --exact -u 192.168.1.120:53
ipvsadm -Z -u 192.168.1.120:53
ipvsadm -Ln --stats --exact -u 192.168.1.120:53

# Settings
ipvsadm --set 60 10 30
ipvsadm -L --timeout
set expire_nodest_conn=1
set sync_threshold=5 20
set drop_entry=7
set sync_ports=3

# What is refused
ipvsadm -A -t 192.168.1.120:80 -s rr
ipvsadm -A -t 192.168.1.120:81 -s nosuch
ipvsadm -A -t 192.168.1.120:81 -p 60 --pe nosuch
ipvsadm -a -t 192.168.1.120:80 -r 192.168.1.13:80 -m
ipvsadm -a -t 192.168.1.120:80 -r 224.0.0.1:80 -m
ipvsadm -a -t 192.168.1.120:82 -r 192.168.1.13:80 -m
ipvsadm -e -t 192.168.1.120:80 -r 192.168.1.99:80 -m
ipvsadm -d -t 192.168.1.120:80 -r 192.168.1.99:80
ipvsadm -D -t 192.168.1.120:82
ipvsadm -a -t 192.168.1.120:80 -r 192.168.1.14:80 -m -x 2 -y 4
ipvsadm --start-daemon master --mcast-interface nosuch
ipvsadm --stop-daemon backup

# Other kinds of service
ipvsadm -A -f 5 -s wlc -p 120
ipvsadm -a -f 5 -r 192.168.1.11 -g
ipvsadm -A -f 5 -6 -s rr
ipvsadm -A -t [fd00::120]:80 -s wrr
ipvsadm -a -t [fd00::120]:80 -r [fd00::11]:80 -m -w 5
ipvsadm -A -u 192.168.1.120:5060 -s rr -p 60 --pe sip
ipvsadm -A -u 192.168.1.120:514 -s rr -o
ipvsadm -a -u 192.168.1.120:514 -r 192.168.1.12:514 -i --tun-type gue --tun-port 6080
ipvsadm --start-daemon backup --mcast-interface eth0 --syncid 7
ipvsadm -Ln --daemon
ipvsadm --stop-daemon backup
ipvsadm -Ln
ipvsadm -Ln --tun-info
ipvsadm -S -n

# Away again
ipvsadm -d -t 192.168.1.120:80 -r 192.168.1.12:80
ipvsadm -D -t 192.168.1.120:80
tcp 192.168.1.120:80
ipvsadm -C
ipvsadm -Ln
`;
