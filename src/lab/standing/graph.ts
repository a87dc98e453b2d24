/** The network of a lab: as text for terminals, and as a picture. */
import { endpoint } from '../addresses.ts';
import { drawTopology } from '../report.ts';
import type { LabHost, LabTopology } from '../topology.ts';

/** The boxes of `drawTopology`, then every host with its addresses. */
export function drawLab(topology: LabTopology): string {
  const width = Math.max(...topology.hosts.map(({ name }) => name.length));
  const lines = topology.hosts.map((host) => `  ${host.name.padEnd(width)}  ${factsOf(host).join('; ')}`);
  return `${drawTopology(topology, 'asks', 'balances')}\n\n${lines.join('\n')}`;
}

function factsOf({ links, loopbackAddresses, gateway }: LabHost): string[] {
  return [
    ...links.map(({ name, network, addresses }) => `${name} ${addresses.join(', ')} in ${network}`),
    ...(loopbackAddresses.length > 0 ? [`lo ${loopbackAddresses.join(', ')}`] : []),
    ...(gateway === null ? [] : [`gateway ${gateway}`]),
  ];
}

const BOX = { width: 190, gap: 24, lineHeight: 16, padding: 12, top: 40 };
const COLOURS: Readonly<Record<LabHost['role'], string>> = {
  client: '#dbeafe',
  director: '#fde68a',
  server: '#dcfce7',
  other: '#e5e7eb',
};

/** Hosts in a row, networks as bars below them, a cable for each link. */
export function drawLabAsSvg(topology: LabTopology, name: string): string {
  const { hosts, networks } = topology;
  const texts = hosts.map((host) => linesOf(host, topology));
  const boxHeight = BOX.padding * 2 + BOX.lineHeight * Math.max(...texts.map((lines) => lines.length));
  const leftOf = (index: number) => BOX.gap + index * (BOX.width + BOX.gap);
  const width = leftOf(hosts.length);
  const names = Object.keys(networks);
  const barAt = (network: string) => BOX.top + boxHeight + 40 + names.indexOf(network) * 50;
  const height = BOX.top + boxHeight + 40 + names.length * 50;
  const parts = hosts.flatMap((host, index) => {
    const left = leftOf(index);
    const cables = host.links.map((link, at) => {
      const x = left + ((at + 1) * BOX.width) / (host.links.length + 1);
      const [y1, y2] = [BOX.top + boxHeight, barAt(link.network)];
      return `<line x1="${x}" y1="${y1}" x2="${x}" y2="${y2}" stroke="#374151" stroke-width="1.5"/><circle cx="${x}" cy="${y2}" r="4" fill="#374151"/>`;
    });
    const rows = (texts[index] as string[]).map((line, row) => {
      const y = BOX.top + BOX.padding + BOX.lineHeight * (row + 0.75);
      return `<text x="${left + BOX.padding}" y="${y}"${row === 0 ? ' font-weight="bold"' : ''}>${escaped(line)}</text>`;
    });
    const frame = `<rect x="${left}" y="${BOX.top}" width="${BOX.width}" height="${boxHeight}" rx="6" fill="${COLOURS[host.role]}" stroke="#374151"/>`;
    return [...cables, frame, ...rows];
  });
  const bars = names.map((network) => {
    const y = barAt(network);
    return `<line x1="${BOX.gap}" y1="${y}" x2="${width - BOX.gap}" y2="${y}" stroke="#374151" stroke-width="5"/><text x="${BOX.gap}" y="${y + 20}">${escaped(`${network} ${networks[network]}`)}</text>`;
  });
  const title = `The lab ${name}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" font-family="sans-serif" font-size="12">
<title>${escaped(title)}</title>
<desc>${escaped(hosts.map((host) => `${host.name}: ${factsOf(host).join('; ')}`).join('. '))}</desc>
<rect width="${width}" height="${height}" fill="#ffffff"/>
<text x="${BOX.gap}" y="24" font-size="15" font-weight="bold">${escaped(title)}</text>
${[...bars, ...parts].join('\n')}
</svg>
`;
}

function linesOf(host: LabHost, { servers, virtualAddress, virtualPort, mode }: LabTopology): string[] {
  const own = servers.filter((server) => server.host === host.name && !server.fallback);
  return [
    host.name,
    ...host.links.flatMap(({ name, addresses }) => addresses.map((address) => `${name} ${address}`)),
    ...host.loopbackAddresses.map((address) => `lo ${address}`),
    ...(host.gateway === null ? [] : [`gateway ${host.gateway}`]),
    ...(host.role === 'director' ? [`service ${endpoint(virtualAddress, virtualPort)}`, `mode ${mode}`] : []),
    ...own.map(({ port }) => `listens on port ${port}`),
  ];
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
