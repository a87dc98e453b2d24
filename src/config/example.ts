/** An example of the native file that explains itself. `uipvs convert --example` prints it; a test reads it. */
export const EXAMPLE = `# uipvs.yaml: what a director balances. The smallest useful file has five lines:
#
#   services:
#     - listen: 192.168.1.120:80
#       servers:
#         - 192.168.1.11:80
#         - 192.168.1.12:80
#
# uipvs check uipvs.yaml     is it right?
# uipvs plan uipvs.yaml      what would change?
# uipvs apply uipvs.yaml     make it so, all or nothing
# uldirectord uipvs.yaml start   the same, with health checks
#
# Times are 500ms, 2s, 5m, 1h, 1d. \`uipvs check --schema\` prints a JSON Schema for editors.

# For all services that do not say it themselves.
defaults:
  scheduler: wlc
  method: masquerade # direct: same network, the server has the address too; tunnel: anywhere
  check:
    every: 2s # between two checks of a server
    timeout: 3s
    failures: 2 # in a row, before a server is taken out
  quiescent: true # a server that is out keeps its connections (weight 0); false removes it
  fallback: 127.0.0.1:8080 # while no server is up
  alert:
    to: ops@example.com
    from: director@example.com

services:
  - listen: 192.168.1.120:80
    name: shop
    sourceNat: masquerade # full NAT: servers need no route through this director
    persistence: 5m # a client stays with its server
    servers:
      - 192.168.1.11:80
      - { address: 192.168.1.12:80, weight: 3 }
      - { address: 192.168.1.21-24:80, upper: 500, lower: 400 } # four servers, 500 connections each at most
    check: { kind: http, request: /health, expect: "^ok", host: shop.example.com }

  - listen: "[2001:db8::120]:443"
    scheduler: mh
    flags: [fallback, port]
    method: tunnel
    servers:
      - { address: "[2001:db8:1::11]:443", tunnel: { type: gue, port: 6080, checksum: full } }
      - { address: "[2001:db8:1::12]:443", tunnel: gre }
    check: connect
    fallback: "[2001:db8:1::99]:443"

  - listen: 192.168.1.120:53/udp
    onePacket: true # every packet is scheduled by itself
    scheduler: rr
    servers: [192.168.1.31:53, 192.168.1.32:53]
    check: { kind: dns, request: www.example.com, expect: "192.168.1.120" }

  - listen: mark 7 # packets that the rules below give this mark
    scheduler: sh
    persistence: { timeout: 10m, netmask: 255.255.255.0 }
    servers: [192.168.1.41, 192.168.1.42] # the port stays what the client asked for
    check: { kind: external, command: /usr/local/bin/probe, every: 10s }

# Rules that give packets firewall marks; the first that matches counts.
marks:
  - { mark: 7, protocol: tcp, to: 192.168.1.121, ports: 8000-8099 }

timeouts: { tcp: 15m, tcpfin: 2m, udp: 5m } # as ipvsadm --set

# net.ipv4.vs, by the kernel's names.
sysctl:
  expire_quiescent_template: 1
  conn_reuse_mode: 1

# Connections are told to a second director, which goes on with them.
sync: { role: master, interface: eth0, id: 1 }

logging: { file: /var/log/ldirectord.log } # or syslog: local0

director:
  autoReload: true # the file is read again when it changes
  maintenanceDirectory: /etc/uipvs/maintenance # a file there, named like a server, takes it out
`;
