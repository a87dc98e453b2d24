/** What answers at the server: nginx for requests, iperf3 for bulk, an echo for datagrams, and a drain for packets. */
import { writeFileSync } from 'node:fs';
import { PORTS, SERVERS } from './network.ts';
import type { Place } from './place.ts';

/** One process, no log, a page of a hundred bytes. */
function nginxConfiguration(folder: string): string {
  return `daemon off;
master_process off;
pid ${folder}/nginx-server.pid;
error_log stderr error;
worker_rlimit_nofile 16384;
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_requests 100000000;
  client_body_temp_path ${folder}/nginx-body;
  proxy_temp_path ${folder}/nginx-proxy;
  fastcgi_temp_path ${folder}/nginx-fastcgi;
  uwsgi_temp_path ${folder}/nginx-uwsgi;
  scgi_temp_path ${folder}/nginx-scgi;
  server {
    listen ${PORTS.http} backlog=4096;
    location / { return 200 "${'x'.repeat(99)}\\n"; }
  }
}
`;
}

/** Before routing and everything else: packets of the flood are counted by the interface and gone. */
const DRAIN = `table netdev drain {
  chain in {
    type filter hook ingress device eth0 priority 0;
    udp dport ${PORTS.discard} drop
    udp sport ${PORTS.discard} drop
  }
}
`;

/** Starts all of it and waits until it listens. */
export async function startServers(place: Place): Promise<void> {
  const { lab, server } = place;
  writeFileSync(lab.path('nginx-server.conf'), nginxConfiguration(lab.folder));
  writeFileSync(lab.path('drain.nft'), DRAIN);
  for (const host of [server, place.client]) await lab.mustRun(host, ['nft', '-f', lab.path('drain.nft')]);
  place.startLogged(server, ['nginx', '-c', lab.path('nginx-server.conf')], 'server-nginx');
  place.startLogged(server, ['iperf3', '-s', '-p', String(PORTS.bulk)], 'server-iperf3');
  place.startLogged(server, place.program('udp-echo-server', [SERVERS[0], String(PORTS.echo)]), 'server-echo');
  const listening = async () => {
    const { stdout } = await lab.run(server, ['ss', '-Hlntu']);
    return [PORTS.http, PORTS.bulk, PORTS.echo].every((port) => new RegExp(`:${port}\\s`).test(stdout));
  };
  await place.waitUntil(listening, 'the servers do not listen', 'server-nginx');
  await place.findWitnesses();
}
