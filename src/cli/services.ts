/** `uipvs services`: every virtual service with its destinations. */
import { walkServices } from '../control/pages.ts';
import { formatEndpoint, formatServiceKey, type ServiceStatus } from '../model/service.ts';
import { type Cli, withDaemon } from './cli.ts';
import type { Word } from './command-line.ts';
import { printList } from './print-list.ts';
import { draw, WATCH_OPTION } from './watch.ts';

export function servicesWord(cli: Cli): Word {
  return {
    name: 'services',
    summary: 'list the virtual services and their destinations',
    options: [{ flags: '--json', description: 'print a JSON array, one service a line' }, WATCH_OPTION],
    notes: `Keys of each service with --json:
  spec          key ({ protocol, address, port } or { mark, family }), scheduler, schedulerFlags,
                persistenceTimeoutSeconds, netmask, persistenceEngine, onePacket, sourceNat
  statistics    connections, inPackets, outPackets, inBytes, outBytes; rates: the same per second
  destinations  spec (address, port, method, weight, upperThreshold, lowerThreshold, tunnel),
                activeConnections, inactiveConnections, persistentConnections, statistics, rates

\`uipvs ipvsadm -Ln\` prints the same table the way ipvsadm does.`,
    run: ({ json, watch }) =>
      withDaemon(cli, (daemon) =>
        draw(cli, watch === true, (canvas) =>
          printList(canvas, walkServices(daemon), {
            json: json === true,
            oneLine: watch === true,
            format: formatService,
            whenEmpty: 'there are no services\n',
          }),
        ),
      ),
  };
}

function formatService({ spec, destinations }: ServiceStatus): string {
  const facts = [`scheduler ${spec.scheduler}`];
  if (spec.persistenceTimeoutSeconds !== null) facts.push(`persistent ${spec.persistenceTimeoutSeconds} s`);
  if (spec.onePacket) facts.push('one packet a connection');
  if (spec.sourceNat !== undefined && spec.sourceNat !== 'none') facts.push(`source NAT ${spec.sourceNat}`);
  const lines = [`${formatServiceKey(spec.key)}  ${facts.join(', ')}`];
  for (const { spec: destination, activeConnections, inactiveConnections } of destinations) {
    const { address, port, method, weight } = destination;
    lines.push(
      `  -> ${formatEndpoint(address, port).padEnd(24)} ${method.padEnd(10)} weight ${String(weight).padEnd(5)} ` +
        `active ${activeConnections}, inactive ${inactiveConnections}`,
    );
  }
  return `${lines.join('\n')}\n`;
}
