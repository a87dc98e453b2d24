/** Proxies in userspace: HAProxy, nginx's stream module, pen; one thread each. */
import { existsSync, writeFileSync } from 'node:fs';
import { hasProgram } from '../../../src/lab/host.ts';
import type { HostCommand } from '../../../src/lab/plan.ts';
import { PORTS, SERVERS, VIRTUAL } from '../network.ts';
import type { Ability, Peer } from '../peer.ts';
import type { Place } from '../place.ts';

const HAPROXY = `global
  nbthread 1
  maxconn 8192
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen web
  bind ${VIRTUAL}:${PORTS.http}
  balance roundrobin
${SERVERS.map((address, index) => `  server rs${index + 1} ${address}:${PORTS.http}`).join('\n')}
listen bulk
  bind ${VIRTUAL}:${PORTS.bulk}
  server rs1 ${SERVERS[0]}:${PORTS.bulk}
`;

const STREAM_MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so';
const nginxStream = (folder: string): string => `daemon off;
master_process off;
load_module ${STREAM_MODULE};
pid ${folder}/nginx-stream.pid;
error_log stderr error;
worker_rlimit_nofile 32768;
events { worker_connections 16384; }
stream {
  upstream web { ${SERVERS.map((address) => `server ${address}:${PORTS.http};`).join(' ')} }
  server { listen ${VIRTUAL}:${PORTS.http} backlog=4096; proxy_pass web; }
  server { listen ${VIRTUAL}:${PORTS.bulk}; proxy_pass ${SERVERS[0]}:${PORTS.bulk}; }
  server { listen ${VIRTUAL}:${PORTS.echo} udp; proxy_pass ${SERVERS[0]}:${PORTS.echo}; }
  server { listen ${VIRTUAL}:${PORTS.discard} udp; proxy_pass ${SERVERS[0]}:${PORTS.discard}; proxy_timeout 5s; }
}
`;

function proxy(facts: {
  readonly name: string;
  readonly summary: string;
  readonly abilities: readonly Ability[];
  readonly absent: string | null;
  /** Writes what it needs and names what is started, by the name of its log. */
  readonly commands: (place: Place) => Readonly<Record<string, HostCommand>>;
}): Peer {
  const { commands, ...rest } = facts;
  return {
    ...rest,
    group: 'proxy',
    cabling: 'through-director',
    forwarding: false,
    target: VIRTUAL,
    async start(place) {
      const started = Object.entries(commands(place));
      for (const [log, command] of started) place.startLogged(place.director, command, log);
      const listening = async () => {
        const { stdout } = await place.lab.run(place.director, ['ss', '-Hlnt']);
        return [PORTS.http, PORTS.bulk].every((port) => new RegExp(`:${port}\\s`).test(stdout));
      };
      await place.waitUntil(listening, `${facts.name} does not listen`, started[0][0]);
    },
  };
}

export const haproxy: Peer = proxy({
  name: 'haproxy',
  summary: 'HAProxy, TCP mode, one thread',
  abilities: ['tcp'],
  absent: hasProgram('haproxy') ? null : 'haproxy is not installed; apt-get install haproxy',
  commands({ lab }) {
    writeFileSync(lab.path('haproxy.cfg'), HAPROXY);
    return { haproxy: ['haproxy', '-db', '-f', lab.path('haproxy.cfg')] };
  },
});

export const nginx: Peer = proxy({
  name: 'nginx',
  summary: 'nginx, stream module, one process',
  abilities: ['tcp', 'udp'],
  absent: existsSync(STREAM_MODULE)
    ? null
    : 'the stream module of nginx is not installed; apt-get install libnginx-mod-stream',
  commands({ lab }) {
    writeFileSync(lab.path('nginx-stream.conf'), nginxStream(lab.folder));
    return { nginx: ['nginx', '-c', lab.path('nginx-stream.conf')] };
  },
});

export const pen: Peer = proxy({
  name: 'pen',
  summary: 'pen, one process a port, round robin',
  abilities: ['tcp'],
  absent: hasProgram('pen') ? null : 'pen is not installed; apt-get install pen',
  commands() {
    const words = ['pen', '-f', '-r', '-x', '4096', '-S', String(SERVERS.length)];
    return {
      pen: [...words, `${VIRTUAL}:${PORTS.http}`, ...SERVERS.map((address) => `${address}:${PORTS.http}:2048`)],
      'pen-bulk': [...words, `${VIRTUAL}:${PORTS.bulk}`, `${SERVERS[0]}:${PORTS.bulk}:2048`],
    };
  },
});
